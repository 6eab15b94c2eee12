import pytest

from lugsail.api.base import ResourceKey, to_camel
from lugsail.api.load import load_resource
from lugsail.api.virtual_service import Destination, HTTPRoute, VirtualService
from tests.lugsail.api.helpers import resource

ROUTE = "hosts: [reviews]\nhttp: [{route: [{destination: {host: reviews}}]}]"


@pytest.mark.parametrize(
    ("snake", "camel"),
    [
        ("hosts", "hosts"),
        ("per_try_timeout", "perTryTimeout"),
        ("consecutive_5xx_errors", "consecutive5xxErrors"),
        ("http1_max_pending_requests", "http1MaxPendingRequests"),
        ("h2_upgrade_policy", "h2UpgradePolicy"),
    ],
)
def test_json_names_are_protobufs(snake: str, camel: str) -> None:
    assert to_camel(snake) == camel


def test_a_null_field_is_as_if_it_were_not_there() -> None:
    data = {"match": None, "timeout": None, "route": [{"destination": {"host": "a", "port": None}}]}
    route = HTTPRoute.model_validate(data)
    assert route.match == ()
    assert route.to_dict() == {"route": [{"destination": {"host": "a"}}]}


def test_only_what_was_given_is_written_back() -> None:
    assert Destination(host="a", subset="").to_dict() == {"host": "a", "subset": ""}
    assert Destination(host="a").was_set("host")
    assert not Destination(host="a").was_set("subset")


def test_models_do_not_change() -> None:
    with pytest.raises(ValueError):
        Destination(host="a").host = "b"  # type: ignore[misc]


def test_a_resource_knows_its_identity() -> None:
    loaded = load_resource(resource("VirtualService", ROUTE, name="reviews", namespace="prod"))
    assert isinstance(loaded, VirtualService)
    assert loaded.key == ResourceKey("VirtualService", "prod", "reviews")
    assert str(loaded.key) == "VirtualService prod/reviews"


def test_metadata_can_be_changed_in_a_copy() -> None:
    loaded = load_resource(resource("VirtualService", ROUTE))
    newer = loaded.with_metadata(resource_version="7", generation=2)
    assert (newer.metadata.resource_version, newer.metadata.generation) == ("7", 2)
    assert loaded.metadata.resource_version == ""
    assert newer.to_dict()["metadata"] == {
        "name": "reviews",
        "namespace": "default",
        "resourceVersion": "7",
        "generation": 2,
    }
