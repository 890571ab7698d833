"""Which recordings a route takes."""

from __future__ import annotations

import pytest

from transcription_pipeline.domain.route import Route, find_route


@pytest.mark.parametrize(
    ("pattern", "key", "matches"),
    [
        ("**", "a.mp3", True),
        ("**", "a/b/c.mp3", True),
        ("**", "line\nbreak.mp3", True),
        ("*", "a.mp3", True),
        ("*", "a/b.mp3", False),
        ("calls/**", "calls/a.mp3", True),
        ("calls/**", "calls/2026/11/a.mp3", True),
        ("calls/**", "callsign/a.mp3", False),
        ("calls/**", "other/calls/a.mp3", False),
        ("**/a.mp3", "a.mp3", True),
        ("**/a.mp3", "x/y/a.mp3", True),
        ("**/a.mp3", "xa.mp3", False),
        ("calls/**/x.mp3", "calls/x.mp3", True),
        ("calls/**/x.mp3", "calls/1/2/x.mp3", True),
        ("calls/*/x.mp3", "calls/1/2/x.mp3", False),
        ("*.mp3", "a.mp3", True),
        ("*.mp3", "a.mp3.txt", False),
        ("a?.mp3", "ab.mp3", True),
        ("a?.mp3", "a/.mp3", False),
        ("a.mp3", "axmp3", False),
        ("a+(b)[c].mp3", "a+(b)[c].mp3", True),
        ("", "", True),
        ("", "a", False),
    ],
)
def test_globs(pattern: str, key: str, matches: bool) -> None:
    """``*`` and ``?`` stay in a folder, ``**`` does not, and nothing else is special."""
    assert (find_route([Route(pattern, ("local",))], key) is not None) is matches


def test_first_match_wins() -> None:
    """Of several routes that match, the first is taken."""
    routes = [Route("calls/**", ("assemblyai",)), Route("**", ("local",))]
    assert find_route(routes, "calls/a.mp3") is routes[0]
    assert find_route(routes, "memos/a.mp3") is routes[1]
    assert find_route(routes[:1], "memos/a.mp3") is None


def test_options_for_a_provider() -> None:
    """A provider gets the common options that are set and only its own extras."""
    route = Route(
        "**",
        ("assemblyai", "local"),
        options={"language": "en", "model": None},
        extra={"assemblyai": {"speech_models": ["universal-2"]}},
    )
    assert route.options_for("local") == {"language": "en"}
    assert route.options_for("assemblyai") == {
        "language": "en",
        "extra": {"speech_models": ["universal-2"]},
    }
