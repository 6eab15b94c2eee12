"""Istio's own samples, every file unchanged, through `lugsail apply`. LUGSAIL_ISTIO_SAMPLES names their folder."""

from __future__ import annotations

import os
import pathlib

import pytest

from tests.e2e.lab import Lab

pytestmark = pytest.mark.e2e

FOLDER = os.environ.get("LUGSAIL_ISTIO_SAMPLES")
FILES = sorted(pathlib.Path(FOLDER).rglob("*.yaml")) if FOLDER else []


@pytest.mark.skipif(not FOLDER, reason="LUGSAIL_ISTIO_SAMPLES names no folder (Istio's samples/bookinfo/networking)")
def test_every_file_applies_unchanged(lab: Lab) -> None:
    assert FILES, f"no YAML file in {FOLDER}"
    for file in FILES:
        done = lab.quick("apply", "-f", str(file), check=False)
        assert done.returncode == 0, f"{file.name}: {done.stdout}{done.stderr}"
        assert "rejected" not in done.stderr, file.name
    assert "unchanged" in lab.cli("apply", "-f", str(FILES[-1])).stdout
