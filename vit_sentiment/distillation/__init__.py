"""From tweets to labels: reading, teachers and splits, from table to table."""
