"""Each line that keeps money safe, removed alone, must turn the tests red; else they prove nothing.

A copy of the project is made, one line of it is taken out, and the tests that guard it are run
there. ``make mutations`` prints a line for each; exit code 1 when a mutant lives.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parent.parent
PACKAGE, TESTS = "transcription_pipeline", "transcription_pipeline_tests"
LEFT_OUT = (".git", ".venv", "var", "__pycache__", ".mypy_cache", ".ruff_cache", ".hypothesis")


@dataclass(frozen=True)
class Mutation:
    """One safety line, what is left when it is gone, and the tests that must notice."""

    name: str
    file: str
    line: str
    instead: str
    tests: str


MUTATIONS = (
    Mutation(
        "one live attempt per job, by an index",
        "ledger/migrations/versions/0001_first_ledger.py",
        """        "uq_attempts_one_live",
        "attempts",
        ["job_id"],
        unique=True,""",
        """        "uq_attempts_one_live",
        "attempts",
        ["job_id"],
        unique=False,""",
        "ledger/test_attempts.py ledger/test_durability.py -k sqlite or partial",
    ),
    Mutation(
        "write transactions begin immediately",
        "ledger/database.py",
        '"BEGIN" if is_read else "BEGIN IMMEDIATE"',
        '"BEGIN"',
        "ledger/test_durability.py ledger/test_group_commit.py -k sqlite",
    ),
    Mutation(
        "decisions carry the fence of their lease",
        "ledger/applying.py",
        "    return connection.execute(FENCE, here).scalar() == lease.fence",
        "    return bool(here)",
        "ledger/test_leases.py -k sqlite",
    ),
    Mutation(
        "evidence is kept",
        "ledger/applying.py",
        "        connection.execute(EVIDENCE, rows)",
        "        rows.clear()",
        "ledger/test_leases.py engine/test_interruptions.py -k sqlite or lease",
    ),
    Mutation(
        "every commit is synced",
        "ledger/database.py",
        '"synchronous=FULL"',
        '"synchronous=NORMAL"',
        "ledger/test_durability.py -k synced",
    ),
    Mutation(
        "nobody is proved dead before the URL is",
        "providers/assemblyai.py",
        "        dead_at = (attempt.url_expires_at or sent_at + UPLOAD_RETENTION) + self._settle",
        "        dead_at = sent_at",
        "engine/test_submit_faults.py -k never_arrived",
    ),
    Mutation(
        "a replay sends the bytes that were sent",
        "providers/scriptivox.py",
        "self._api.submit(attempt.attempt_id, request)",
        'self._api.submit(attempt.attempt_id, request.replace(b"}", b" }"))',
        "engine/test_scriptivox.py -k lost_answer",
    ),
    Mutation(
        "what has no name is a doubt",
        "providers/assemblyai_answers.py",
        'return Submission(Verdict.AMBIGUOUS, cause=f"http_{status}", detail=detail)',
        'return Submission(Verdict.NOT_SENT, cause=f"http_{status}", detail=detail)',
        "engine/test_submit_faults.py -k lost",
    ),
    Mutation(
        "what has no name is a doubt, at Aitronos",
        "providers/aitronos_answers.py",
        'return Submission(Verdict.AMBIGUOUS, cause=f"http_{status}", detail=detail)',
        'return Submission(Verdict.NOT_SENT, cause=f"http_{status}", detail=detail)',
        "engine/test_network_faults.py -k aitronos and 504",
    ),
    Mutation(
        "what has no name is a doubt, at Plaud",
        "providers/plaud_answers.py",
        'return Submission(Verdict.AMBIGUOUS, cause=f"http_{status}", detail=detail)',
        'return Submission(Verdict.NOT_SENT, cause=f"http_{status}", detail=detail)',
        "engine/test_network_faults.py -k plaud and 504",
    ),
    Mutation(
        "what has no name is a doubt, at Scriptivox",
        "providers/scriptivox_answers.py",
        "return Submission(Verdict.AMBIGUOUS, cause=cause, detail=detail, retry",
        "return Submission(Verdict.NOT_SENT, cause=cause, detail=detail, retry",
        "engine/test_scriptivox.py -k same_key and 500",
    ),
    Mutation(
        "a last look at the state before sending",
        "ledger/applying.py",
        "        if state != m.from_state.value or not is_legal_move(m.from_state, m.to_state):",
        "        if not is_legal_move(m.from_state, m.to_state):",
        "ledger/test_attempts.py ledger/test_leases.py -k sqlite",
    ),
    Mutation(
        "Plaud's doubts are held",
        "providers/plaud.py",
        "Verdict.CANNOT_KNOW",
        "Verdict.NEVER_ARRIVED",
        "engine/test_plaud.py -k held",
    ),
    Mutation(
        "Aitronos' doubts are held",
        "providers/aitronos.py",
        "Verdict.CANNOT_KNOW",
        "Verdict.NEVER_ARRIVED",
        "engine/test_aitronos.py -k held",
    ),
    Mutation(
        "a lake belongs to one ledger",
        "engine/claim.py",
        "        if standing.objection:\n            raise",
        "        if standing.objection and not standing:\n            raise",
        "engine/test_claim.py",
    ),
)
"""The eleven lines of the failure model; two of them stand once per provider."""


def run_tests(copy: Path, tests: str) -> tuple[bool, float]:
    """Run tests in a copy; return whether all passed, and the seconds it took."""
    files, _, wanted = tests.partition(" -k ")
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    command += [f"{TESTS}/{file}" for file in files.split()] + (["-k", wanted] if wanted else [])
    started_at = time.monotonic()
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1):  # neither green nor red: nothing was tested
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-2000:])
    return done.returncode == 0, time.monotonic() - started_at


def try_mutations() -> Iterator[tuple[Mutation, str, float]]:
    """Remove each line alone; yield it, what became of the tests, and the seconds it took.

    ``red`` is as it should be: the tests noticed.
    """
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        copy = Path(folder) / "project"
        shutil.copytree(REPOSITORY, copy, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for mutation in MUTATIONS:
            file = copy / PACKAGE / mutation.file
            whole = file.read_text()
            if mutation.line not in whole:
                raise RuntimeError(f"{mutation.name}: its line is not in {mutation.file} any more")
            was_green, before_s = run_tests(copy, mutation.tests)
            file.write_text(whole.replace(mutation.line, mutation.instead))
            is_green, after_s = run_tests(copy, mutation.tests)
            file.write_text(whole)
            verdict = ("ALIVE" if is_green else "red") if was_green else "was red before"
            yield mutation, verdict, before_s + after_s


def main() -> int:
    """Say which lines the tests miss when they are gone."""
    unguarded = 0
    for mutation, verdict, seconds in try_mutations():
        unguarded += verdict != "red"
        sys.stdout.write(f"{verdict:<15} {mutation.name:<48} {seconds:.1f} s\n")
        sys.stdout.flush()
    sys.stdout.write(f"{len(MUTATIONS)} lines, {unguarded} of them unguarded\n")
    return 1 if unguarded else 0


if __name__ == "__main__":
    sys.exit(main())
