"""The benchmark's command line: a part that fails is reported, and does not take the others along."""

import json

from loadtests import bench
from tests.loadtests.test_report import REPORT


def test_a_failed_part_is_exit_1_and_still_a_report(monkeypatch, tmp_path, capsys):
    def fail(*_):
        raise RuntimeError("no Envoy")

    monkeypatch.setattr(bench.datapath, "measure", fail)
    monkeypatch.setattr(bench.telemetry_cost, "measure", lambda *_: REPORT["telemetry"])
    monkeypatch.setattr(bench.tracing_ingest, "measure", lambda *_: REPORT["tracing"])
    monkeypatch.setattr(bench, "measure_lab", lambda *_: {"push": REPORT["push"]})
    file = tmp_path / "deep" / "result.json"
    assert bench.main(["--quick", "--json", str(file)]) == 1
    result = json.loads(file.read_text())
    assert result["datapath"] == {"error": "RuntimeError: no Envoy"}
    assert result["push"]["applies"] == 20
    assert "failed: RuntimeError: no Envoy" in capsys.readouterr().out


def test_only_one_part(monkeypatch, tmp_path):
    monkeypatch.setattr(bench.datapath, "measure", lambda *_: REPORT["datapath"])
    monkeypatch.setattr(bench, "measure_lab", lambda *_: 1 / 0)
    assert bench.main(["--only", "datapath", "--json", str(tmp_path / "r.json")]) == 0


def test_quick_is_shorter_and_options_win():
    assert bench.QUICK.rounds * bench.QUICK.seconds < bench.FULL.rounds * bench.FULL.seconds
    assert bench.parse(["--quick", "--rounds", "7"]).rounds == 7
