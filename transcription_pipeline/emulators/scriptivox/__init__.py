"""Scriptivox's transcription API, as its pages and its own MCP server describe it.

``app.py`` is the wire, ``desk.py`` the jobs and the money behind it, the rest one topic each. "API
reference" in comments is the text the vendor keeps in github.com/SparkleOfficial/scriptivox-mcp-server
(src/data/api-docs.ts and the tools beside it), "quickstart" is
https://www.scriptivox.com/docs/quickstart; both read 2026-11-21. What neither says is marked "not
documented", and is a setting where clients could tell the difference.
"""
