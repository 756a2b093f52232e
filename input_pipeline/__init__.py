"""Everything between a file on disk and a host batch."""
