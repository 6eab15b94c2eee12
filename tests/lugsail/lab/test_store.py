"""What becomes of the last lab's resources."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from lugsail.lab.addressing import Subnet
from lugsail.lab.mesh import prepare_store
from lugsail.lab.paths import Home
from lugsail.lab.plan import Options


def test_set_aside_or_kept(tmp_path: Path) -> None:
    home = Home(tmp_path)
    options = Options(home, Subnet("127.20"), tmp_path / "app.yaml")
    prepare_store(options)  # nothing there is nothing to do
    home.store_file.write_text("one")
    wal = tmp_path / "store.db-wal"
    wal.write_text("log of one")
    prepare_store(replace(options, keep=True))
    assert home.store_file.read_text() == "one"
    prepare_store(options)
    assert not home.store_file.exists()
    assert not wal.exists()
    assert home.previous_store_file.read_text() == "one"
    assert (tmp_path / "store.previous.db-wal").read_text() == "log of one"
    home.store_file.write_text("two")
    prepare_store(options)
    assert home.previous_store_file.read_text() == "two"
    assert not (tmp_path / "store.previous.db-wal").exists()
