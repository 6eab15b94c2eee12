"""Which proxies patches are for, in which order, and what becomes of bad ones."""

from controlplane.translate.build import Translator
from controlplane.translate.protos import CLUSTER_TYPE
from lugsail.api.base import Resource
from tests.controlplane.model.factory import mesh, resource, service, sidecar

NAME = "outbound|80||web.default.svc.cluster.local"


def timeout_filter(name: str, seconds: int, namespace: str = "default", more: str = "", match: str = "") -> Resource:
    return resource(
        "EnvoyFilter",
        name,
        f"""
        {more}
        configPatches:
        - applyTo: CLUSTER
          match: {{context: SIDECAR_OUTBOUND, cluster: {{service: web.default.svc.cluster.local}}{match}}}
          patch: {{operation: MERGE, value: {{connect_timeout: {seconds}s}}}}
        """,
        namespace,
    )


def timeout(*filters: Resource, **proxy: object) -> int:
    built = Translator().build(mesh(service("web"), *filters), sidecar(**proxy), CLUSTER_TYPE, None)  # type: ignore[arg-type]
    return int(built[NAME].message.connect_timeout.seconds)


def test_own_namespace_and_root_namespace() -> None:
    assert timeout(timeout_filter("a", 3)) == 3
    assert timeout(timeout_filter("a", 3, "istio-system")) == 3
    assert timeout(timeout_filter("a", 3, "elsewhere")) == 10


def test_labels_and_metadata_of_the_proxy() -> None:
    assert timeout(timeout_filter("a", 3, more="workloadSelector: {labels: {app: web}}")) == 3
    assert timeout(timeout_filter("a", 3, more="workloadSelector: {labels: {app: api}}")) == 10
    version = timeout_filter("a", 3, match=", proxy: {proxyVersion: '^1\\.2'}")
    assert timeout(version, metadata=(("ISTIO_VERSION", "1.29.0"),)) == 3
    assert timeout(version, metadata=(("ISTIO_VERSION", "1.3.0"),)) == 10
    assert timeout(timeout_filter("a", 3, match=", proxy: {metadata: {RACK: r1}}"), metadata=(("RACK", "r1"),)) == 3


def test_the_root_namespace_first_then_by_priority() -> None:
    assert timeout(timeout_filter("own", 3), timeout_filter("root", 4, "istio-system")) == 3
    assert timeout(timeout_filter("a", 3, more="priority: 5"), timeout_filter("b", 4, more="priority: -5")) == 3


def test_a_patch_that_cannot_be_applied_leaves_the_others() -> None:
    known = timeout_filter("good", 3)
    spec = known.spec.model_copy(deep=True)
    bad_patch = spec.config_patches[0].patch.model_copy(update={"value": {"connect_timeout": "soon"}})  # type: ignore[attr-defined]
    bad_entry = spec.config_patches[0].model_copy(update={"patch": bad_patch})  # type: ignore[attr-defined]
    bad = known.model_copy(
        update={
            "spec": spec.model_copy(update={"config_patches": (bad_entry,)}),
            "metadata": known.metadata.model_copy(update={"name": "bad"}),
        }
    )
    translator = Translator()
    built = translator.build(mesh(service("web"), bad, known), sidecar(), CLUSTER_TYPE, None)
    assert built[NAME].message.connect_timeout.seconds == 3
    (conflict,) = translator.conflicts(sidecar())
    assert str(conflict).startswith("EnvoyFilter default/bad: configPatches[0].patch: value is not a Cluster of Envoy")


def test_what_no_patch_touches_is_the_same_object() -> None:
    made = mesh(service("web"), service("api", port=81), timeout_filter("a", 3))
    translator = Translator()
    other = mesh(service("web"), service("api", port=81), previous=made)
    plain = translator.build(other, sidecar(), CLUSTER_TYPE, None)
    patched = translator.build(made, sidecar(), CLUSTER_TYPE, None)
    name = "outbound|81||api.default.svc.cluster.local"
    assert patched[name] is plain[name]
    assert patched[NAME].version != plain[NAME].version
