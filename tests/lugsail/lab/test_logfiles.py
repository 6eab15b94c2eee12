from pathlib import Path

from lugsail.lab.logfiles import LOW_DISK_BYTES, begin_anew, trim


def plenty(folder: Path) -> int:
    return LOW_DISK_BYTES * 2


def test_a_large_log_is_set_aside_and_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "a.app.log"
    (tmp_path / "b.proxy.log").write_text("short")
    with log.open("ab") as writer:
        writer.write(b"x" * 100)
        writer.flush()
        (note,) = trim(tmp_path, limit_bytes=99, free_bytes=plenty)
        writer.write(b"after")
    assert log.read_text() == "after"
    assert (tmp_path / "a.app.log.1").read_text() == "x" * 100
    assert "a.app.log had grown over its limit" in note
    assert trim(tmp_path, limit_bytes=99, free_bytes=plenty) == []


def test_a_full_disk_costs_logs(tmp_path: Path) -> None:
    (tmp_path / "a.app.log.1").write_bytes(b"x" * 2048)
    (tmp_path / "big.app.log").write_bytes(b"x" * 1024 * 1024)
    (tmp_path / "small.app.log").write_text("kept")
    (note,) = trim(tmp_path, free_bytes=lambda folder: 1024)
    assert "nearly full" in note
    assert "1026 KiB of logs were dropped" in note
    assert sorted(path.name for path in tmp_path.iterdir()) == ["big.app.log", "small.app.log"]
    assert (tmp_path / "big.app.log").stat().st_size == 0
    assert (tmp_path / "small.app.log").read_text() == "kept"
    assert trim(tmp_path, free_bytes=lambda folder: 1024) == []


def test_a_new_lab_begins_with_empty_logs(tmp_path: Path) -> None:
    for name in ("a.app.log", "lab.log"):
        (tmp_path / name).write_text(name)
    begin_anew(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.app.log.1", "lab.log"]
    begin_anew(tmp_path / "none")


def test_a_folder_that_is_not_there_is_no_trouble(tmp_path: Path) -> None:
    assert trim(tmp_path / "none") == []
