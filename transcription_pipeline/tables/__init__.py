"""From transcripts to Parquet: the columns, the Arrow tables, the files."""
