"""A bundle that learns from review: what comes in, the candidate that comes of it, the gate before it, the registry."""
