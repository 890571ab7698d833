"""What is particular to a folder: it is durable, and nothing leaves it."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from transcription_pipeline.errors import ObjectNotFound, StorageError, StorageUnavailable
from transcription_pipeline.storage.folder import FolderStore


@pytest.mark.parametrize(
    "key", ["../outside", "a/../../outside", "/etc/hostname", "..", "a/b/../../.."]
)
def test_keys_stay_inside(tmp_path: Path, key: str) -> None:
    """No key reads, writes, lists or deletes anything outside the root."""
    (tmp_path / "outside").write_bytes(b"secret")
    store = FolderStore(tmp_path / "lake")
    for act in (
        lambda: store.get(key),
        lambda: store.find(key),
        lambda: store.put(key, b"x"),
        lambda: store.delete(key),
        lambda: store.list_page(key + "/"),
        lambda: store.get_range(key, 0, 1),
    ):
        with pytest.raises(ObjectNotFound):
            act()
    assert (tmp_path / "outside").read_bytes() == b"secret"


def test_staging_is_not_listed(tmp_path: Path) -> None:
    """Unfinished files are no objects."""
    store = FolderStore(tmp_path / "lake")
    (store.make_staging_folder() / "half").write_bytes(b"x")
    assert store.list_page("").objects == ()


def test_a_folder_signs_nothing(tmp_path: Path) -> None:
    """There is no URL for a file in a folder."""
    assert FolderStore(tmp_path).presign("a", expires_s=900, token="t") is None


def test_writes_are_synced(tmp_path: Path) -> None:
    """A put syncs the file, its folder and every folder it made before it returns."""
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from transcription_pipeline.storage.folder import FolderStore\n"
        "store = FolderStore(Path(sys.argv[1]))\n"
        "store.make_staging_folder()\n"
        "synced = []\n"
        # Audit hooks do not see fsync; what is opened for it is seen by its number.
        "real = os.fsync\n"
        "os.fsync = lambda f: (synced.append(os.readlink(f'/proc/self/fd/{f}')), real(f))\n"
        "store.put('x/y/a', b'1')\n"
        "print(*synced, sep='\\n')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=True
    )
    file, *folders = done.stdout.splitlines()
    assert Path(file).parent == tmp_path / ".staging"
    assert folders == [str(tmp_path), str(tmp_path / "x"), str(tmp_path / "x" / "y")]


def test_a_full_disk(tmp_path: Path) -> None:
    """A write that does not fit is our transient error, and leaves the old object and no rubbish."""
    store = FolderStore(tmp_path)
    store.put("a", b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
    try:
        with pytest.raises(StorageUnavailable):
            store.put("a", b"x" * 5_000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert store.get("a") == b"old"
    assert list((tmp_path / ".staging").iterdir()) == []


def test_a_folder_is_no_object(tmp_path: Path) -> None:
    """A key that is a folder is not found; a key below a file is one of our errors."""
    store = FolderStore(tmp_path)
    store.put("a/b", b"x")
    with pytest.raises(ObjectNotFound):
        store.get("a")
    with pytest.raises(StorageError):
        store.put("a/b/c", b"x")
