"""``tp ui``: the real webserver and daemon notice a file, and a person sees what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from transcription_pipeline_tests.flow.browser import open_page
from transcription_pipeline_tests.flow.serving import Served, serve
from transcription_pipeline_tests.world import REPOSITORY

NOTICE_S = 180.0
SCREENSHOTS = REPOSITORY / "var" / "screenshots"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """A running ``tp ui``."""
    with serve(tmp_path) as running:
        yield running


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(400)
def test_a_dropped_file_is_seen_in_the_browser(served: Served) -> None:
    """The sensor picks a new file up; the asset graph and the materialisation are on the screen."""
    served.drop("appointment.flac", "calls/dropped.flac")
    served.wait(lambda: served.is_published(2), NOTICE_S)
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    with open_page(f"{served.url}/asset-groups", served.folder) as page:
        for asset in ("raw_transcripts", "transcription_jobs", "words", "recordings"):
            page.get_by_text(asset, exact=True).first.wait_for()
        page.screenshot(path=SCREENSHOTS / "asset-graph.png")
        day = datetime.now(UTC).date().isoformat()
        partition = f"{day}%7Clocal"
        page.goto(f"{served.url}/assets/words?view=partitions&partition={partition}")
        page.get_by_text("published_now").first.wait_for()
        page.get_by_text("part-0.parquet").first.wait_for()
        page.screenshot(path=SCREENSHOTS / "materialisation.png")
