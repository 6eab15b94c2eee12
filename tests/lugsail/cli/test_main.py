"""The command as a whole: help, exit codes, errors without tracebacks, and how quick it is to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from lugsail.cli import main as module
from lugsail.cli.main import build_app
from tests.lugsail.cli.conftest import Cli

COMMANDS = [
    *(["up"], ["down"], ["status"], ["logs"], ["apply"], ["delete"], ["get"], ["validate"], ["exec"], ["run"]),
    *(["load"], ["version"], ["proxy-status"], ["ps"], ["render"]),
    *(["proxy-config", each] for each in ("listeners", "routes", "clusters", "endpoints", "bootstrap", "all")),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_each_command_has_help_with_an_example(command: list[str]) -> None:
    result = CliRunner().invoke(build_app(), [*command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert "lugsail" in result.output


@pytest.mark.parametrize(
    "argv",
    [
        ["no-such-command"],
        ["apply"],
        ["apply", "--no-such-option"],
        ["up", "--port", "99999"],
        ["up", "--proxy", "nginx"],
        ["up", "--proxy-for", "x"],
        ["up", "--log-level", "loud"],
        ["get", "pods"],
        ["get", "vs", "-o", "toml"],
        ["get", "vs,dr", "-w"],
        ["delete", "vs"],
        ["apply", "-f", "x.yaml", "--timeout", "soon"],
        ["run", "--app", "a", "--version", "v1", "--port", "80", "--proxy", "nginx", "--", "true"],
    ],
    ids=" ".join,
)
def test_wrong_usage_is_64(cli: Cli, argv: list[str]) -> None:
    done = cli(*argv)
    assert done.code == 64, done
    assert "Traceback" not in done.err
    assert done.err


@pytest.mark.parametrize(
    "argv", [["status"], ["get", "vs"], ["proxy-status"], ["pc", "routes", "x"], ["exec", "x", "ls"]]
)
def test_without_a_mesh_the_answer_says_how_to_start_one(cli: Cli, argv: list[str]) -> None:
    done = cli(*argv)
    assert done.code == 1
    assert done.err.startswith("lugsail: No mesh is running from LUGSAIL_HOME=")
    assert done.err.endswith(" Start one: lugsail up\n")


def test_down_without_a_mesh_is_fine(cli: Cli) -> None:
    assert cli("down").out == "No mesh is running.\n"


def test_a_control_plane_that_is_away(cli: Cli) -> None:
    done = cli("get", "vs", "--control-plane", "127.0.0.1:1")
    assert done.code == 1
    assert "No answer from the control plane at http://127.0.0.1:1 (Connection refused)" in done.err


def test_the_unexpected_is_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **more: object) -> None:
        raise ZeroDivisionError("no")

    monkeypatch.setattr(module, "build_app", fail)
    done = cli("version")
    assert done.code == 1
    assert done.err == "lugsail: unexpected ZeroDivisionError: no (LUGSAIL_DEBUG=1 shows where)\n"


def test_help_imports_nothing_heavy() -> None:
    heavy = "{'pydantic', 'yaml', 'asyncio', 'aiohttp', 'grpc', 'rich'}"
    code = f"import sys; import lugsail.cli.main; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_up_answers_plainly(cli: Cli, tmp_path: Path) -> None:
    assert cli("up", "--topology", str(tmp_path / "none.yaml")).code == 64
    bad = tmp_path / "bad.yaml"
    bad.write_text("services: {a: {labels: {version: v1}}}")
    done = cli("up", "--topology", str(bad))
    assert done.code == 65
    assert "services.a.labels: the label `app` is missing" in done.err


def test_an_unknown_workload_of_proxy_for_names_the_known(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUGSAIL_SUBNET", "127.254")
    done = cli("up", "--proxy-for", "nobody=envoy", "--port", "18399")
    assert done.code == 64
    assert "reviews-v1" in done.err
    monkeypatch.setenv("LUGSAIL_SUBNET", "10.0")
    assert "LUGSAIL_SUBNET='10.0' is not a loopback subnet" in cli("up").err


def test_version(cli: Cli) -> None:
    assert "xds-protos" in cli("version").out
    assert '"python"' in cli("version", "-o", "json").out
