"""AssemblyAI's pre-recorded speech-to-text, as its pages and recorded answers describe it.

``app.py`` is the wire, ``desk.py`` the jobs behind it, the rest one topic each. Sources are named
in comments by page and the date they were read, 2026-11-21 unless told otherwise: "API reference"
is https://www.assemblyai.com/docs/openapi.yaml (copy of 2026-08-18), "recorded" means an answer
somebody kept from the live service. What no page says is marked "not documented".
"""
