"""What -f names: folders with all below them, and messages that say where the file might be."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lugsail.cli.conftest import Cli

RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {name}}}
spec: {{host: {name}}}
"""


def test_a_folder_is_read_with_all_below_it(cli: Cli, tmp_path: Path) -> None:
    for path in ("a.yaml", "below/b.yml", "below/deep/c.json.txt", ".hidden/d.yaml", "below/e.json"):
        file = tmp_path / "rules" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(RULE.format(name=file.name[0]))
    done = cli("validate", "-f", str(tmp_path / "rules"))
    assert done.code == 0, done.err
    assert [line.split("/")[-1] for line in done.out.splitlines()] == [
        "a is valid",
        "b is valid",
        "e is valid",
        "3 valid",
    ]


def test_a_folder_without_resources(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    done = cli("validate", "-f", str(tmp_path))
    assert done.code == 65
    assert "holds no .yaml, .yml, .json file, nor do its sub-folders" in done.err


def test_a_resource_that_is_there_twice_is_told(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "two.yaml").write_text(RULE.format(name="x") + "---" + RULE.format(name="x"))
    done = cli("validate", "-f", str(tmp_path / "two.yaml"))
    assert done.code == 0
    assert f"warning: DestinationRule default/x is there 2 times; the last counts: {tmp_path}/two.yaml:" in done.err


def test_a_missing_file(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = cli("apply", "-f", "nothing.yaml")
    assert (done.code, done.err) == (64, f"lugsail: There is no file nothing.yaml (looked in {tmp_path}).\n")
    done = cli("apply", "-f", "samples/bookinfo/destination-rule-all.yaml")
    assert "Lugsail's own is /" in done.err
