"""The CLI as people call it, against a stand-in for the control plane."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from lugsail.cli.main import main
from tests.lugsail.fake_control_plane import FakeControlPlane, serving


@dataclass
class Done:
    """What a command gave: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


Cli = Callable[..., Done]


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cli:
    monkeypatch.setenv("LUGSAIL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("LUGSAIL_CONTROL_PLANE", raising=False)
    monkeypatch.delenv("LUGSAIL_PROJECT", raising=False)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no-docker.sock")  # a mesh that runs here is not meant

    def run(*argv: str) -> Done:
        code = main(list(argv))
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run


@pytest.fixture
def plane(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeControlPlane]:
    """A running control plane that the CLI finds by itself."""
    fake = FakeControlPlane()
    with serving(fake) as url:
        monkeypatch.setenv("LUGSAIL_CONTROL_PLANE", url)
        yield fake
