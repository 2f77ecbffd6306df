"""Lesions drawn from descriptions of skin, light and structures."""
