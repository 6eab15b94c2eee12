"""The workloads that metrics tell callers by."""

from controlplane.model.mesh_snapshot import MeshSnapshot
from controlplane.translate.build import Translator
from controlplane.translate.protos import WORKLOAD_TYPE
from controlplane.translate.workload_proto import Workload
from controlplane.translate.workloads import workloads_differ
from tests.controlplane.model.factory import mesh, resource, sidecar

LABELS = "{app: web, version: v2, service.istio.io/canonical-name: shop}"


def snapshot(spec: str, previous: MeshSnapshot | None = None) -> MeshSnapshot:
    return mesh(resource("WorkloadEntry", "web-v2", spec), previous=previous)


def test_what_is_told_of_a_workload() -> None:
    made = snapshot(f"{{address: 10.0.0.1, labels: {LABELS}, serviceAccount: sa}}")
    found = Translator().build(made, sidecar(), WORKLOAD_TYPE, None)
    assert list(found) == ["10.0.0.1"]
    message = Workload.FromString(found["10.0.0.1"].any.value)
    assert found["10.0.0.1"].any.type_url == WORKLOAD_TYPE
    assert {field.name: value for field, value in message.ListFields()} == {
        "address": "10.0.0.1",
        "name": "web-v2",
        "namespace": "default",
        "app": "web",
        "version": "v2",
        "canonical_service": "shop",
        "canonical_revision": "v2",
        "service_account": "sa",
        "cluster_id": "Kubernetes",
    }


def test_one_that_says_little_is_told_by_its_name() -> None:
    found = Translator().build(snapshot("{address: 10.0.0.1}"), sidecar(), WORKLOAD_TYPE, None)
    message = Workload.FromString(found["10.0.0.1"].any.value)
    assert (message.app, message.version) == ("web-v2", "")
    assert (message.canonical_service, message.canonical_revision) == ("web-v2", "latest")


def test_only_what_is_told_makes_a_difference() -> None:
    first = snapshot("{address: 10.0.0.1}")
    assert not workloads_differ(first, snapshot("{address: 10.0.0.1}", first))
    assert workloads_differ(first, snapshot("{address: 10.0.0.2}", first))
    assert workloads_differ(first, snapshot("{address: 10.0.0.1, labels: {app: a}}", first))
