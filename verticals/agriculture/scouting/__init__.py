"""Where to walk, what is true there, what changed between flights, and what the weather adds."""
