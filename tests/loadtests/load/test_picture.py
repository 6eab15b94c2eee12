"""Pictures are written, of ordinary runs and of odd ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from loadtests.load.picture import draw
from loadtests.load.recorder import Recorder


def result(seconds: int, split: bool, failures: bool) -> dict[str, Any]:
    recorder = Recorder()
    series = []
    for second in range(seconds):
        for number in range((second + 1) % 3):
            recorder.begin("/x")
            recorder.finish("/x", 200, 5.0 + number, "bad" if failures else None)
            recorder.saw_version("v1" if split else None)
        series.append(recorder.tick(1))
    config = {"scenario": "split", "shape": "steady", "rate_per_s": None, "users": 3}
    return {**recorder.result(max(1, seconds), 0), "config": config, "series": series}


@pytest.mark.parametrize(
    ("seconds", "split", "failures"), [(10, True, True), (10, False, False), (1, True, False), (0, False, False)]
)
def test_both_forms_are_written(tmp_path: Path, seconds: int, split: bool, failures: bool) -> None:
    png, svg = draw(result(seconds, split, failures), tmp_path, "x", [(0.5, "v1 90 / v3 10")])
    assert png.read_bytes().startswith(b"\x89PNG")
    text = svg.read_text()
    assert "latency, ms" in text
    assert ("reviews v1" in text) is split
