"""`lugsail kube-inject`: files in, manifests out, reasons on standard error."""

from pathlib import Path

import pytest
import yaml

from lugsail.cli.main import main

SAMPLES = Path(__file__).parents[2] / "testdata" / "kubernetes"
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n"


def containers(text: str) -> list[list[str]]:
    """The names of each pod's containers."""
    found = [document for document in yaml.safe_load_all(text) if document["kind"] == "Pod"]
    return [[one["name"] for one in document["spec"]["containers"]] for document in found]


def test_standard_input_to_standard_output(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(POD))
    assert main(["kube-inject", "-f", "-", "--proxy", "envoy", "--discovery", "mesh:15010"]) == 0
    printed = capsys.readouterr()
    assert containers(printed.out) == [["c", "istio-proxy"]]
    assert "mesh:15010" in printed.out
    assert "lugsail/envoy" in printed.out
    assert printed.err == ""


def test_a_folder_to_a_file_and_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    once, twice = tmp_path / "once.yaml", tmp_path / "twice.yaml"
    assert main(["kube-inject", "-f", str(SAMPLES), "-o", str(once)]) == 0
    told = capsys.readouterr().err
    assert "left-alone.yaml: document 1: Pod default/node-agent: left as it is: hostNetwork: true" in told
    assert main(["kube-inject", "-f", str(once), "-o", str(twice)]) == 0
    assert twice.read_bytes() == once.read_bytes()
    assert "it has a sidecar: annotation sidecar.istio.io/status" in capsys.readouterr().err


def test_nothing_is_written_where_one_workload_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, output = tmp_path / "in.yaml", tmp_path / "out.yaml"
    source.write_text(f"{POD}---\n{POD.replace('[{name: c, image: i}]', '[]')}", encoding="utf-8")
    assert main(["kube-inject", "-f", str(source), "-o", str(output)]) == 65
    assert not output.exists()
    message = capsys.readouterr().err
    assert f"{source}: document 2: Pod default/web: spec.containers: expected at least one container" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--proxy", "nginx"], "choose python or envoy"),
        (["--discovery", "mesh"], "expected HOST:PORT"),
        (["--discovery", "mesh:99999"], "expected HOST:PORT"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["kube-inject", "-f", "-", *arguments]) == 64
    assert message in capsys.readouterr().err


def test_an_output_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in.yaml"
    source.write_text(POD, encoding="utf-8")
    assert main(["kube-inject", "-f", str(source), "-o", str(tmp_path / "no" / "out.yaml")]) == 64
    assert "Cannot write" in capsys.readouterr().err


def test_files_without_workloads_are_passed_on_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "in.yaml"
    source.write_text("kind: ConfigMap # kept\n", encoding="utf-8")
    assert main(["kube-inject", "-f", str(source)]) == 0
    printed = capsys.readouterr()
    assert printed.out == "kind: ConfigMap # kept\n"
    assert "no workload in" in printed.err
