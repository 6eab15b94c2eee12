from __future__ import annotations

import pytest
from envoy.config.core.v3.base_pb2 import Metadata

from sidecar.compiler.istio_metadata import (
    resource_of,
    services_of,
    transport_labels_of,
    workload_of,
)
from sidecar.config.clusters import Service
from sidecar.config.endpoints import UNKNOWN_WORKLOAD, Workload
from tests.sidecar.compiler.protos import proto


def metadata(text: str) -> Metadata:
    return proto(Metadata, f"{{filter_metadata: {text}}}")


def test_nothing_told() -> None:
    empty = Metadata()
    assert (resource_of(empty), services_of(empty)) == ("", ())
    assert (workload_of(empty), transport_labels_of(empty)) == (UNKNOWN_WORKLOAD, {})


def test_cluster() -> None:
    told = metadata("{istio: {config: /apis/x, subset: v1, services: [{host: h, name: n, namespace: s}, {host: i}]}}")
    assert resource_of(told) == "/apis/x"
    assert services_of(told) == (
        Service(host="h", name="n", namespace="s"),
        Service(host="i", name="", namespace=""),
    )


@pytest.mark.parametrize(
    ("text", "workload"),
    [
        (
            "reviews-v1;default;reviews;v1;Kubernetes",
            Workload(
                name="reviews-v1",
                namespace="default",
                canonical_name="reviews",
                canonical_revision="v1",
                cluster_id="Kubernetes",
            ),
        ),
        ("reviews-v1;default", Workload(name="reviews-v1", namespace="default")),
        ("a;b;c;d;e;f", Workload(name="a", namespace="b", canonical_name="c", canonical_revision="d", cluster_id="e")),
    ],
)
def test_workload(text: str, workload: Workload) -> None:
    assert workload_of(metadata(f"{{istio: {{workload: {text}}}}}")) == workload


def test_malformed_is_left_out() -> None:
    assert workload_of(metadata("{istio: {workload: 5}}")) == UNKNOWN_WORKLOAD
    assert services_of(metadata("{istio: {services: text}}")) == ()


def test_transport_labels() -> None:
    assert transport_labels_of(metadata("{envoy.transport_socket_match: {tlsMode: istio}}")) == {"tlsMode": "istio"}
