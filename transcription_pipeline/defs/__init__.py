"""Dagster's side: lineage, schedules, backfills, visibility. No step of the pipeline lives here."""
