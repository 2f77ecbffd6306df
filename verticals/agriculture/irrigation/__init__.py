"""Irrigation: weather, crop and soil in; how dry the root zone is, how sure that is, and how much water to give out."""
