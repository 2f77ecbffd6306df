"""The clinicians' numbers, each with its interval, and the page that validates a build."""
