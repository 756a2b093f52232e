"""Studies: what is compared over recipes, noises and seeds, from the drawing to the table."""
