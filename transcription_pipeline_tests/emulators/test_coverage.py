"""The page of what is emulated: it is current, and what it says yes to answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from transcription_pipeline.emulators.coverage import find_route, list_settings, main, make_page
from transcription_pipeline.emulators.documented import DOCUMENTS, Call
from transcription_pipeline.emulators.server import PROVIDERS, EmulatorServer, make_service
from transcription_pipeline.emulators.speech import SpeechSettings
from transcription_pipeline_tests.emulators.wire_client import WireClient

PAGE = Path(__file__).parents[2] / "docs" / "emulators.md"
KEYS = {"authorization": "test-key", "x-api-key": "test-key"}


@pytest.fixture(params=PROVIDERS)
def emulator(request: pytest.FixtureRequest) -> Iterator[EmulatorServer]:
    """Each emulator in its turn."""
    with EmulatorServer(request.param) as server:
        yield server


def ask(emulator: EmulatorServer, call: Call) -> tuple[int, str]:
    """Make a call with a key, and read status and body without what differs every time."""
    answer = WireClient(emulator.base_url).ask(call.method, call.example_path, **KEYS)
    body = re.sub(r'"(trace_id|timestamp)":"[^"]*"', "", answer.body.decode())
    return answer.status, body


def test_the_page_is_current(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page in the repository is the one that would be made now, and a changed one is noticed."""
    assert main(["--check", str(PAGE)]) == 0
    changed = tmp_path / "docs" / "emulators.md"
    assert main(["--check", str(changed)]) == 1
    assert main([str(changed)]) == 0
    assert changed.read_text() == make_page()
    changed.write_text(make_page().replace("| yes |", "| no |"))
    assert main(["--check", str(changed)]) == 1
    assert "make it anew" in capsys.readouterr().err


def test_what_is_emulated_answers(emulator: EmulatorServer) -> None:
    """A call marked yes or partly is answered unlike an unknown one; one marked no, just like it."""
    unknown = ask(emulator, Call("POST", "/no/such/path", ""))
    for call in DOCUMENTS[emulator.name].calls:
        if re.fullmatch(r"/\S+", call.example_path) and call.method != "*":
            is_known = ask(emulator, call) != unknown
            assert is_known == (find_route(emulator.service, call) is not None), call.path


@pytest.mark.parametrize("name", PROVIDERS)
def test_what_is_not_emulated_says_why(name: str) -> None:
    """Every call that is missing, or partly so, has a note; every documented one is listed once."""
    service, calls = make_service(name), DOCUMENTS[name].calls
    for call in calls:
        assert call.note or (find_route(service, call) and not call.is_partly), call.path
    assert len({(call.method, call.path) for call in calls}) == len(calls)


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_setting_says_what_it_means(name: str) -> None:
    """A setting without a meaning would be an empty cell of the page."""
    kinds = (SpeechSettings, type(make_service(name).settings))
    found = {setting: told[1] for kind in kinds for setting, told in list_settings(kind).items()}
    assert found.keys() == set(kinds[1].__struct_fields__)
    assert [setting for setting, meaning in found.items() if not meaning] == []
