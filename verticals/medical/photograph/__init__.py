"""Whether a photograph is fit to be scored: faults with advice, and whether it shows skin."""
