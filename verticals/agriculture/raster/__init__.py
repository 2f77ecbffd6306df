"""What comes from the drone: orthomosaics, camera frames, field boundaries and vegetation indices."""
