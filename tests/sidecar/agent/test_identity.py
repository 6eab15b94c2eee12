from sidecar.agent.identity import Identity


def identity(**changes: object) -> Identity:
    fields: dict[str, object] = {"workload": "reviews-v1", "namespace": "default", "ip": "10.0.0.1"}
    return Identity(**{**fields, **changes})  # type: ignore[arg-type]


def test_node_id() -> None:
    assert identity().node_id == "sidecar~10.0.0.1~reviews-v1.default~default.svc.cluster.local"
    assert identity(type="router", namespace="istio-system").node_id.startswith("router~10.0.0.1~reviews-v1.istio-sys")


def test_canonical_names_come_from_labels() -> None:
    assert (identity().app, identity().version) == ("reviews-v1", "latest")
    labelled = identity(labels={"app": "reviews", "version": "v1"})
    assert (labelled.app, labelled.version) == ("reviews", "v1")
    canonical = {"service.istio.io/canonical-name": "rev", "service.istio.io/canonical-revision": "r1", "app": "x"}
    assert (identity(labels=canonical).app, identity(labels=canonical).version) == ("rev", "r1")


def test_metadata_is_istios() -> None:
    assert identity(labels={"app": "reviews"}, service_account="bookinfo-reviews").metadata() == {
        "NAME": "reviews-v1",
        "NAMESPACE": "default",
        "WORKLOAD_NAME": "reviews-v1",
        "LABELS": {"app": "reviews"},
        "SERVICE_ACCOUNT": "bookinfo-reviews",
        "MESH_ID": "cluster.local",
        "CLUSTER_ID": "Kubernetes",
        "INTERCEPTION_MODE": "NONE",
        "ISTIO_VERSION": "1.32.0",
        "INSTANCE_IPS": "10.0.0.1",
    }
    assert identity(bind_address="127.0.0.1").metadata()["BIND_ADDRESS"] == "127.0.0.1"
