"""The commands as a user runs them: what they print, as JSON and for people, and their exit codes."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime

import pytest

from transcription_pipeline.ledger.ledger import Ledger
from transcription_pipeline_tests.world import SECRET, World

ZERO = {"published": 0, "failed": 0, "held": 0, "in_progress": 0}


@pytest.mark.slow
def test_status_counts_add_up(finished: World) -> None:
    """Every routed recording is counted once per provider, or quarantined; none is unaccounted."""
    assert finished.json("status") == {
        "recordings": 3,
        "by_provider": {
            "assemblyai": {**ZERO, "published": 2},
            "local": {**ZERO, "published": 2},
        },
        "quarantined": 1,
        "unaccounted": 0,
    }


def test_run_again_pays_nothing(finished: World) -> None:
    """A second run finds nothing new and submits nothing."""
    before = finished.emulator.request_counts()["submit"]
    assert finished.json("run")["new"] == 0
    assert finished.emulator.request_counts()["submit"] == before == 2
    assert len(finished.emulator.invoice()) == 2


def test_tables_lists_every_table(finished: World) -> None:
    """``tables`` gives path, rows, bytes and partitions of each table of the schema."""
    listed = {t["table"]: t for t in finished.json("tables")}
    made_from_answers = ["transcripts", "segments", "utterances", "words", "insights"]
    assert list(listed) == ["recordings", *made_from_answers, "jobs"]
    assert set(listed["words"]) == {"table", "path", "rows", "bytes", "partitions"}
    assert listed["recordings"]["rows"] == 3
    assert listed["transcripts"]["rows"] == 4
    assert listed["transcripts"]["partitions"] == 2
    assert listed["jobs"]["rows"] == 6
    assert listed["words"]["bytes"] > 0


def test_query_answers_sql_over_all_providers(finished: World) -> None:
    """SQL over the views sees both providers, with the table's types."""
    rows = finished.json(
        "query",
        "select provider, count(*) n, round(avg(confidence), 2) c from utterances group by 1",
    )
    assert {row["provider"] for row in rows} == {"assemblyai", "local"}
    assert all(row["n"] > 0 and 0 < row["c"] <= 1 for row in rows)


def test_query_joins_recordings_by_their_complete_key(finished: World) -> None:
    """The key column is the complete object key, and partitions are columns."""
    rows = finished.json(
        "query",
        "select key, date, word_count from transcripts join recordings using (recording_id, date)"
        " where provider = 'local' order by key",
    )
    assert [row["key"] for row in rows] == [
        "inbox/calls/one.flac",
        "inbox/calls/two with spaces.opus",
    ]


def test_a_wrong_query_is_a_usage_error(finished: World) -> None:
    """Bad SQL exits with 2 and DuckDB's explanation, without a stack trace."""
    told = finished.tp("query", "select nothing from nowhere", code=2)
    assert "nowhere" in told
    assert "Traceback" not in told


def test_comments_describe_the_columns(finished: World) -> None:
    """The registry's descriptions and units are DuckDB comments."""
    rows = finished.json(
        "query",
        "select comment from duckdb_columns() where table_name = 'words' and column_name = 'start_ms'",
    )
    assert rows == [{"comment": "Start in the recording, inclusive [ms]"}]


def test_jobs_and_show_tell_what_happened(finished: World) -> None:
    """``jobs`` lists by state; ``show`` tells a recording's whole history by id or key."""
    quarantined = finished.json("jobs", "--state", "quarantined")
    assert {job["cause"] for job in quarantined} == {"not_audio"}
    told = finished.json("show", "inbox/calls/one.flac")
    assert told["recording"]["codec"] == "flac"
    assert {job["state"] for job in told["jobs"]} == {"published"}
    assert told["unknown_fields"] == {}
    paid = [row for row in told["history"] if row["provider"] == "assemblyai"]
    assert [row["to_state"] for row in paid] == [
        "sending",
        "accepted",
        "completed",
        "stored",
        "published",
    ]
    finished.tp("show", told["recording"]["recording_id"][:12])
    assert "no recordings match" in finished.tp("show", "nothing-like-it", code=1)


def test_costs_are_the_invoice(finished: World) -> None:
    """What the ledger says was spent is what the emulator's own books say."""
    rows = finished.json("cost")
    invoice = sum(line["amount_micros"] for line in finished.emulator.invoice())
    assert [row["provider"] for row in rows] == ["assemblyai"]
    assert rows[0]["cost_micros"] == invoice > 0


def test_rebuild_gives_the_same_bytes(finished: World) -> None:
    """Tables made anew from the raw answers are byte-identical, and nothing is asked of anybody."""
    files = sorted((finished.folder / "lake" / "tables").rglob("*/provider=*/*.parquet"))
    before = {file: file.read_bytes() for file in files}
    requests = finished.emulator.request_counts()
    finished.tp("rebuild")
    assert before == {file: file.read_bytes() for file in files}
    assert len(before) == 10
    assert finished.emulator.request_counts() == requests


def test_a_rebuild_says_what_it_could_not_rebuild(finished: World) -> None:
    """A partition that somebody works on is left alone, and the exit code says so."""
    with closing(Ledger.open(f"sqlite:///{finished.folder}/ledger.db")) as ledger:
        day, provider = ledger.list_partitions()[0]
        now = datetime.now(UTC)
        lease = ledger.acquire_lease(day, provider, "somebody else", at=now, ttl_s=600)
        assert lease is not None
        assert f"{day}/{provider} is at work elsewhere" in finished.tp("rebuild", code=1)
        ledger.release_lease(lease)


def test_output_for_people_names_what_matters(finished: World) -> None:
    """Without ``--json`` the commands print tables people can read."""
    assert "3 recordings, 1 quarantined, 0 unaccounted" in finished.tp("status")
    assert "not_audio" in finished.tp("jobs")
    assert "words" in finished.tp("tables")
    assert "nothing is due" in finished.tp("plan")
    assert "USD" in finished.tp("cost")


def test_plan_prices_before_anything_is_sent(world: World) -> None:
    """``plan`` shows recordings and providers that are due; the provider is not contacted."""
    world.put("appointment.flac")
    assert world.json("discover") == {"seen": 1, "new": 1, "unrouted": 0}
    rows = world.json("plan")
    assert [(row["provider"], row["recordings"], row["unknown"]) for row in rows] == [
        ("assemblyai", 1, 1),
        ("local", 1, 1),
    ]
    assert world.emulator.request_counts().get("submit", 0) == 0


def test_doctor_says_what_is_wrong(world: World) -> None:
    """``doctor`` passes on a good deployment and names what is broken on a bad one, for free."""
    assert all(finding["ok"] for finding in world.json("doctor"))
    found = world.json(
        "doctor", code=1, TRANSCRIPTION__PROVIDERS__ASSEMBLYAI__BASE_URL="http://127.0.0.1:9"
    )
    assert [finding["check"] for finding in found if not finding["ok"]] == ["assemblyai"]
    assert world.emulator.request_counts().get("submit", 0) == 0


def test_every_wrong_setting_is_told_at_once(world: World) -> None:
    """Configuration errors exit with 2 and name each setting."""
    told = world.tp(
        "run",
        code=2,
        TRANSCRIPTION__RUNS__POLL_WINDOW_S="never",
        TRANSCRIPTION__STORAGE__URL_EXPIRES_S="1",
    )
    assert "runs.poll_window_s" in told
    assert "storage.url_expires_s" in told


def test_an_option_a_provider_cannot_honour_is_refused(world: World) -> None:
    """Route, provider, option and who could honour it are named; nothing is dropped in silence."""
    routes = [{"match": "**", "providers": ["local"], "sentiment": True}]
    told = world.tp("plan", code=2, TRANSCRIPTION__ROUTES=json.dumps(routes))
    assert "routes.0: local cannot honour sentiment; it works with ['assemblyai']" in told


@pytest.mark.parametrize("operation", ["submit", "get"])
def test_a_refused_key_hurts_no_other_provider(world: World, operation: str) -> None:
    """The run goes on with the rest, says who refused, and its exit code is 1."""
    world.put("appointment.flac")
    world.emulator.set_faults({"action": "status", "status": 401, "operation": operation})
    said = world.tp("run", code=1)
    assert "assemblyai: it refused the credentials" in said
    assert SECRET not in said
    counts = world.json("status")["by_provider"]
    assert (counts["local"]["published"], counts["assemblyai"]["in_progress"]) == (1, 1)


def test_a_missing_key_is_a_configuration_error(world: World) -> None:
    """A route to a provider without credentials names the variable to set."""
    world.put("appointment.flac")
    assert "ASSEMBLYAI_API_KEY is not set" in world.tp("run", code=2, ASSEMBLYAI_API_KEY="")


def test_a_rejected_recording_makes_the_exit_code_one(world: World) -> None:
    """A job that fails for good is told by exit code 1 and listed with its cause."""
    world.put("appointment.flac")
    world.emulator.set_faults({"operation": "submit", "action": "status", "status": 400})
    world.tp("run", code=1)
    failed = world.json("jobs", "--state", "failed")
    assert [(job["provider"], job["cause"]) for job in failed] == [
        ("assemblyai", "request_rejected")
    ]
    assert world.emulator.invoice() == []


def test_emulate_prints_one_json_line_when_ready(world: World) -> None:
    """``tp emulate … --port 0 --json`` says where it is and ends on SIGTERM with 0."""
    process = world.start("emulate", "assemblyai", "--port", "0", "--json")
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    process.terminate()
    out, err = process.communicate(timeout=30)
    assert line["provider"] == "assemblyai"
    assert line["base_url"].startswith("http://127.0.0.1:")
    assert (process.returncode, out) == (0, ""), err


def test_the_lake_may_be_a_bucket(world: World) -> None:
    """With an S3 lake the whole flow ends in the bucket, and SQL reads it there."""
    world.put("appointment.flac")
    lake = {"TRANSCRIPTION__STORAGE__LAKE": f"s3://{world.s3.create_bucket()}/deep/lake/"}
    world.tp("run", **lake)
    rows = world.json("query", "select provider, count(*) n from utterances group by 1", **lake)
    assert {row["provider"] for row in rows} == {"assemblyai", "local"}
    listed = {table["table"]: table for table in world.json("tables", **lake)}
    assert listed["transcripts"]["rows"] == 2
    assert listed["transcripts"]["path"].startswith("s3://")
    assert not (world.folder / "lake").exists()
    assert world.json("run", **lake)["new"] == 0


def test_jobs_of_a_provider_no_route_names_any_more_wait(world: World) -> None:
    """Taking a provider out of the routes stops its jobs; the others go on and nothing is lost."""
    world.put("appointment.flac")
    world.tp("discover")
    routes = json.dumps([{"match": "**", "providers": ["local"]}])
    counts = world.json("run", TRANSCRIPTION__ROUTES=routes)["by_provider"]
    assert counts["local"]["published"] == 1
    assert counts["assemblyai"]["in_progress"] == 1
    assert world.emulator.request_counts().get("submit", 0) == 0


def test_compare_lays_providers_side_by_side(finished: World) -> None:
    """Rows go up in time, no provider's word is lost, and every pair has its disagreement."""
    told = finished.json("compare", "inbox/calls/one.flac")
    names = [transcript["provider"] for transcript in told["transcripts"]]
    assert names == ["assemblyai", "local"]
    starts = [row["start_ms"] for row in told["rows"]]
    assert starts == sorted(starts)
    for name, transcript in zip(names, told["transcripts"], strict=True):
        words = " ".join(row[name]["text"] for row in told["rows"]).split()
        assert len(words) == transcript["word_count"] > 0
    (pair,) = told["disagreement"]
    assert pair["providers"] == names
    assert 0 < pair["disagreement"] <= 1  # the emulator speaks a script of its own
    shown = finished.tp("compare", told["recording_id"][:12])
    assert "assemblyai and local differ in" in shown


def test_compare_says_what_it_lacks(finished: World) -> None:
    """A recording that nobody knows, and one without transcripts, end with a sentence and 1."""
    assert "no recordings match" in finished.tp("compare", "nobody", code=1)
    assert "no transcript" in finished.tp("compare", "inbox/calls/text.mp3", code=1)
