"""Spraying: a map and a machine in; which sections switch on where, what that saves, and the terminal's files out."""
