"""What is installed is what was locked, complete, and free to use. Known flaws: ``make audit``."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import Distribution, distributions

from transcription_pipeline_tests.world import REPOSITORY

FREE = re.compile(
    r"MIT|Apache|BSD|PSF|Python Software Foundation|ISC|Zlib|CC0|CNRI|MPL|LGPL|Mozilla"
)
COPYLEFT = {"psycopg", "psycopg-binary", "hypothesis", "tqdm", "certifi", "pathspec"}
"""Under LGPL or MPL: used as they are, which asks nothing of this project's own licence."""
OURS = {"transcription-pipeline", "pip", "setuptools"}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _licence(package: Distribution) -> str:
    told = package.metadata
    classified = [c for c in told.get_all("Classifier") or [] if c.startswith("License")]
    return told.get("License-Expression") or "; ".join(classified) or told.get("License") or ""


def _read_lock() -> dict[str, tuple[str, int]]:
    """Return name → (version, how many hashes)."""
    text = (REPOSITORY / "requirements.lock").read_text()
    found = {}
    for block in re.split(r"\n(?=[a-z0-9])", text):
        match = re.match(r"([A-Za-z0-9._-]+)(?:\[[^]]*])?==([^\s;\\]+)", block)
        if match:
            found[_normal(match[1])] = (match[2], block.count("--hash=sha256:"))
    return found


def test_every_requirement_is_locked_by_hash() -> None:
    """No version floats, no file can be exchanged, and nothing comes from outside an index."""
    locked = _read_lock()
    assert len(locked) > 100
    assert all(hashes > 0 for _, hashes in locked.values())
    text = (REPOSITORY / "requirements.lock").read_text()
    assert not re.search(r"https?://|git\+| @ ", text)
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    direct = [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    wanted = {_normal(re.match(r"[A-Za-z0-9._-]+", line)[0]) for line in direct}  # type: ignore[index]
    assert wanted <= locked.keys()


def test_what_is_installed_is_what_was_locked() -> None:
    """Every locked version, and nothing that was not locked."""
    locked = {name: version for name, (version, _) in _read_lock().items()}
    installed = {_normal(d.name): d.version for d in distributions()}
    strange = {n: v for n, v in installed.items() if n not in OURS and locked.get(n) != v}
    assert strange == {}


def test_every_licence_is_free() -> None:
    """Each package says what it is under, and none forbids what this project does with it."""
    for package in distributions():
        licence = _licence(package)
        assert FREE.search(licence), f"{package.name}: {licence!r}"
        if re.search(r"GPL|MPL|Mozilla", licence):
            assert _normal(package.name) in COPYLEFT, f"{package.name}: {licence!r}"
