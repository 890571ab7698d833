"""Recordings in an S3 bucket become transcripts in Parquet, through paid providers."""

__version__ = "0.1.0"
