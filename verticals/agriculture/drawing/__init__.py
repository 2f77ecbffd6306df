"""The field simulator: a setting and a seed in, pictures of a field with exact truth out; synthetic, never accuracy."""
