from __future__ import annotations

import os
from pathlib import Path

import pytest

from lugsail.lab import proxy_logs
from lugsail.lab.proxy_logs import LogFiles, Read, Splitter

NAMES = {"a": "a.default", "istio-ingressgateway": "istio-ingressgateway.istio-system"}


def write(folder: Path, name: str, text: str) -> None:
    with (folder / f"{name}.proxy.log").open("a") as stream:
        stream.write(text)


def lines(logs: LogFiles) -> dict[str, list[bytes]]:
    return {read.proxy: read.lines for read in logs.poll()}


def test_what_was_before_and_what_comes(tmp_path: Path) -> None:
    write(tmp_path, "a", "1\n2\nha")
    write(tmp_path, "istio-ingressgateway", "g\n")
    (tmp_path / "a.app.log").write_text("the app's\n")
    logs = LogFiles(tmp_path, NAMES)
    assert lines(logs) == {"a.default": [b"1", b"2"], "istio-ingressgateway.istio-system": [b"g"]}
    assert logs.poll() == []
    write(tmp_path, "a", "lf\n3\n")
    assert logs.poll() == [Read("a.default", [b"half", b"3"])]
    logs.close()


def test_without_what_was_before(tmp_path: Path) -> None:
    write(tmp_path, "a", "1\n")
    logs = LogFiles(tmp_path, NAMES, back=0)
    assert logs.poll() == []
    write(tmp_path, "a", "2\n")
    write(tmp_path, "new", "n\n")  # a workload that joined: all of it is news
    assert lines(logs) == {"a.default": [b"2"], "new.default": [b"n"]}
    logs.close()


def test_rotation_and_a_new_file(tmp_path: Path) -> None:
    write(tmp_path, "a", "one\ntwo\ncut off")
    logs = LogFiles(tmp_path, NAMES)
    logs.poll()
    os.truncate(tmp_path / "a.proxy.log", 0)
    write(tmp_path, "a", "3\n")
    assert lines(logs) == {"a.default": [b"3"]}
    (tmp_path / "a.proxy.log").rename(tmp_path / "a.proxy.log.1")
    write(tmp_path, "a", "of the next lab\n")
    assert lines(logs) == {"a.default": [b"of the next lab"]}
    logs.close()


def test_who_falls_behind_skips_and_says_how_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_logs, "BEHIND_BYTES", 1000)
    monkeypatch.setattr(proxy_logs, "CHUNK_BYTES", 500)
    write(tmp_path, "a", "")
    logs = LogFiles(tmp_path, NAMES)
    logs.poll()
    write(tmp_path, "a", "".join(f"{n:09d}\n" for n in range(1000)))
    found = lines(logs)["a.default"]
    while more := lines(logs).get("a.default"):
        found += more
    assert found[-1] == b"000000999"
    assert logs.skipped + len(found) == 1000 and logs.skipped > 900
    logs.close()


def test_the_end_of_a_long_log_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_logs, "BACK_BYTES", 100)
    write(tmp_path, "a", "".join(f"{n:09d}\n" for n in range(1000)))
    logs = LogFiles(tmp_path, NAMES)
    found = lines(logs)["a.default"]
    assert 8 <= len(found) <= 10 and found[-1] == b"000000999"
    logs.close()


def test_as_many_lines_as_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_logs, "LINE_BYTES", 10)
    write(tmp_path, "a", "".join(f"{n:09d}\n" for n in range(1000)))
    logs = LogFiles(tmp_path, NAMES, back=5)
    found = lines(logs)["a.default"]
    assert 4 <= len(found) <= 5 and found[-1] == b"000000999"
    logs.close()


def test_a_line_without_end_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_logs, "LONGEST_LINE_BYTES", 10)
    splitter = Splitter()
    assert splitter.feed(b"x" * 11) == []
    assert splitter.feed(b"y\nz\n") == [b"y", b"z"]
