"""The commands: a thin skin over ``pipeline.py``; every one has ``--json``."""
