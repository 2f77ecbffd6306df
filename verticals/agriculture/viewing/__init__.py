"""What the page and the verbs share: pictures of a map, zones in the review store, prescriptions, irrigation advice."""
