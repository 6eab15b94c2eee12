"""The registry file: the source contract, and what its errors say."""

import os
from pathlib import Path

import pytest

from controlplane.sources.static_file import RegistryError, StaticFileSource, parse_registry
from tests.controlplane.sources.contract import Platform, SourceContract, until

SERVICE = """apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: reviews}
spec:
  hosts: [reviews.default.svc.cluster.local]
  ports: [{number: 9080, name: http, protocol: HTTP}]
  location: MESH_INTERNAL
  resolution: STATIC
  workloadSelector: {labels: {app: reviews}}
"""


def workload(name: str, address: str) -> str:
    return f"""---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {{name: {name}}}
spec: {{address: {address}, labels: {{app: reviews}}}}
"""


class RegistryFile(Platform):
    def __init__(self, path: Path) -> None:
        self.path = path
        self._text = ""
        self._broken = False

    def source(self) -> StaticFileSource:
        return StaticFileSource(self.path, poll_interval_s=0.005)

    def set(self, workloads: dict[str, str]) -> None:
        self._text = SERVICE + "".join(workload(n, a) for n, a in workloads.items())
        if not self._broken:
            self._write(self._text)

    def break_(self) -> str:
        self._broken = True
        self._write(self._text + "---\nkind: [\n")
        return f"{self.path}:"

    def mend(self) -> None:
        self._broken = False
        self._write(self._text)

    def _write(self, text: str) -> None:
        fresh = self.path.with_suffix(".new")
        fresh.write_text(text)
        fresh.rename(self.path)


class TestContract(SourceContract):
    @pytest.fixture
    def platform(self, tmp_path: Path) -> RegistryFile:
        return RegistryFile(tmp_path / "registry.yaml")

    async def test_a_missing_file_is_told_and_awaited(self, platform, run):
        sink = run()
        await until(lambda: sink.errors, "told")
        assert sink.errors == [f"{platform.path}: there is no such file"]
        platform.set({"v1": "10.0.0.1"})
        await until(lambda: "synced" in sink.names, "synced")

    async def test_a_deleted_file_keeps_what_was_there(self, platform, run):
        platform.set({"v1": "10.0.0.1"})
        sink = run()
        await until(lambda: "synced" in sink.names, "synced")
        os.unlink(platform.path)
        await until(lambda: sink.errors, "told")
        assert len(sink.table) == 2

    async def test_a_truncated_file_keeps_what_was_there(self, platform, run):
        platform.set({"v1": "10.0.0.1"})
        sink = run()
        await until(lambda: "synced" in sink.names, "synced")
        platform.path.write_text("")
        await until(lambda: sink.errors, "told")
        assert "empty" in sink.errors[0] and len(sink.table) == 2


def failing(text: str) -> str:
    with pytest.raises(RegistryError) as error:
        parse_registry(text, "registry.yaml")
    return str(error.value)


def test_an_empty_list_is_a_registry():
    assert parse_registry("---\n", "f") == {}


def test_broken_yaml_is_told_with_its_line():
    assert failing(SERVICE + "---\nkind: Work: loadEntry\n").startswith("registry.yaml:11:")


def test_a_wrong_field_is_told_with_its_line_and_path():
    text = failing(SERVICE + workload("v1", "10.0.0.1").replace("address", "adress"))
    assert text.startswith("registry.yaml:14: WorkloadEntry default/v1: spec.adress")


def test_every_error_of_the_file_is_told():
    text = failing(workload("a", "1.1.1.1").replace("address", "x") + workload("b", "1.1.1.2").replace("address", "y"))
    assert "default/a" in text and "default/b" in text


def test_other_kinds_are_refused():
    text = failing(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: x}\nspec: {host: reviews}\n"
    )
    assert "registry.yaml:1: DestinationRule default/x" in text and "through the API" in text


def test_a_resource_that_is_there_twice_is_refused():
    text = failing(workload("v1", "1.1.1.1") + workload("v1", "1.1.1.2"))
    assert "twice, first at line 2" in text and text.startswith("registry.yaml:7:")
