"""The one place that knows the state of every recording, job and attempt.

SQL lives here and in ``analytics``, nowhere else. ``ledger.py`` is the door; ``schema.py`` the
tables; ``group_commit.py`` lets an event loop share durable commits; ``migrations/`` the history.
"""
