"""Aitronos's audio transcription, as its pages describe it and where they are silent by our choice.

``app.py`` is the wire, ``desk.py`` the jobs and synapses behind it, the rest one topic each. Pages
are those of docs.aitronos.com under /docs/api-reference/audio, read 2026-11-21; nothing was ever
recorded from the live service. What no page says is marked "not documented" or "our choice".
"""
