"""A full disk under the state folder: traffic goes on, a change is refused with the fix, and nothing is lost."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.lab import SAMPLES, Lab

pytestmark = pytest.mark.e2e

DISK_MB = 8


@pytest.fixture
def small_disk(tmp_path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A file system of its own, a few megabytes large."""
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("mounting a small disk needs root and mount(8)")
    place = tmp_path / "disk"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", str(place)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"no tmpfs can be mounted here: {done.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def fill(path: pathlib.Path) -> None:
    """Write until the disk is full, down to single bytes."""
    with path.open("wb", buffering=0) as f:
        for size in (65536, 512, 1):
            try:
                while True:
                    f.write(b"x" * size)
            except OSError:
                continue


def test_full_disk(small_disk: pathlib.Path) -> None:
    with Lab("python", "127.45", 18045, small_disk / "home").running() as lab:
        ballast = small_disk / "ballast"
        fill(ballast)
        rules = SAMPLES / "bookinfo" / "destination-rule-all.yaml"
        refused = lab.cli("apply", "-f", str(rules), check=False)
        assert refused.returncode == 1
        assert "disk" in refused.stderr
        assert "full" in refused.stderr
        for _ in range(20):
            assert lab.get("/productpage").status == 200
        ballast.unlink()
        assert "created" in lab.apply(rules)
        assert lab.get("/productpage").status == 200
        assert all(w["restarts"] == 0 for w in lab.status()["workloads"])
