"""Stand-ins for the paid services, with their own books: what runs when there is no account.

Each emulator speaks its vendor's wire (paths, bodies, error texts, quirks), keeps state, writes an
invoice of what the vendor would have charged, has a clock that can be moved and misbehaves on
request. Nothing here is shared with ``providers`` or ``normalise``, so that a misreading of the
vendor's pages on one side cannot be cancelled by the same misreading on the other; tests, the
bench, ``make demo`` and ``tp emulate`` start these through ``server.py``.
"""
