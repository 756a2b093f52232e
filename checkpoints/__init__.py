"""Everything between a weight file and a parameter tree."""
