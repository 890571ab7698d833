"""Plaud's Partner API (fourth generation), as its pages describe it and where they are silent by choice.

``app.py`` is the wire, ``door.py`` the credentials, ``uploads.py`` the object store, ``desk.py`` the
jobs and the money, the rest one topic each. Pages are those of docs.plaud.ai under /api-reference
and /plaud-embedded, read 2026-11-21; they document 200 alone, so that every error here is our choice
unless a comment says otherwise, and nothing was ever recorded from the live service. "Reported" is
what third parties wrote of the vendor's OpenAPI file or observed.
"""
