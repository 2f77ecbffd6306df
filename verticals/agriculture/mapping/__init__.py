"""From tiles to a field map in hectares: blending, the map folder, zones, areas and vector files."""
