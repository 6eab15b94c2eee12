"""Who injects, over restarts."""

from pathlib import Path

import pytest

from controlplane.injector.start import make_injector, own_identity
from controlplane.options import parse_options


def test_the_identity_is_kept_beside_the_store(tmp_path: Path) -> None:
    first = own_identity(tmp_path)
    assert len(first) == 12
    assert own_identity(tmp_path) == first
    assert [path.name for path in tmp_path.iterdir()] == ["injector-id"]


def test_another_store_is_another_control_plane(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert own_identity(tmp_path / "a") != own_identity(tmp_path / "b")


def test_a_damaged_identity_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "injector-id").write_bytes(b"\xff not an id")
    made = own_identity(tmp_path)
    assert own_identity(tmp_path) == made


def test_the_command_line(tmp_path: Path) -> None:
    words = ["--docker", "--inject", "--inject-discovery", "mesh:15010", "--store", str(tmp_path / "store.db")]
    make_injector(parse_options(words))
    assert (tmp_path / "injector-id").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--inject"], "--inject needs --docker"),
        (["--docker", "--inject", "--inject-discovery", "mesh"], "'mesh' is not HOST:PORT"),
        (["--docker", "--inject", "--inject-discovery", "mesh:0"], "is not a port"),
    ],
)
def test_wrong_command_lines(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(words)
    assert message in capsys.readouterr().err
