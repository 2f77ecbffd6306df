"""Smaller models of the same answers: distilled, pruned, in whole numbers; each judged against its parent."""
