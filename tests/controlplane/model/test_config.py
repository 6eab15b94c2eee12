"""Identity, age and visibility of resources."""

import pytest

from controlplane.model.config import labels_match, visible
from tests.controlplane.model.factory import mesh, resource


def test_the_path_is_written_as_istio_writes_it() -> None:
    made = resource("VirtualService", "reviews", "{hosts: [reviews], http: [{directResponse: {status: 200}}]}")
    config = mesh(made).configs[made.key]
    assert config.path == "/apis/networking.istio.io/v1/namespaces/default/virtual-service/reviews"


def test_age_orders_by_creation_then_name_then_namespace() -> None:
    spec = "{host: x}"
    late = resource("DestinationRule", "a", spec, created="2024-02-02T00:00:00Z")
    early = resource("DestinationRule", "z", spec, created="2024-01-01T00:00:00Z")
    twin = resource("DestinationRule", "z", spec, namespace="other", created="2024-01-01T00:00:00Z")
    configs = mesh(late, early, twin).configs
    ordered = sorted(configs.values(), key=lambda c: c.age_order)
    assert [(c.name, c.namespace) for c in ordered] == [("z", "default"), ("z", "other"), ("a", "default")]


@pytest.mark.parametrize(
    ("export_to", "viewer", "expected"),
    [
        ((), "other", True),
        (("*",), "other", True),
        ((".",), "other", False),
        ((".",), "own", True),
        (("other",), "other", True),
        (("other",), "third", False),
        (("~",), "own", False),
    ],
)
def test_export_to(export_to: tuple[str, ...], viewer: str, expected: bool) -> None:
    assert visible(export_to, "own", viewer) is expected


def test_labels_match_when_all_are_there() -> None:
    assert labels_match({}, {})
    assert labels_match({"a": "1"}, {"a": "1", "b": "2"})
    assert not labels_match({"a": "1", "c": "3"}, {"a": "1", "b": "2"})
