"""Questions to the lake: SQL over views named like the tables."""
