"""The nouns of the pipeline and their rules, pure: no I/O, no clock, no provider."""
