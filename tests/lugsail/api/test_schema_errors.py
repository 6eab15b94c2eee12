import pytest

from lugsail.api.envoy_filter import EnvoyFilter
from lugsail.api.schema_errors import all_fields, field_names, model_at, sub_model
from lugsail.api.virtual_service import Destination, HTTPRoute, StringMatch, VirtualService


@pytest.mark.parametrize(
    ("location", "model"),
    [
        ((), VirtualService),
        (("spec", "http", 0), HTTPRoute),
        (("spec", "http", 3, "route", 0, "destination"), Destination),
        (("spec", "http", 0, "match", 0, "headers", "x"), StringMatch),
        (("spec", "hosts"), None),
        (("spec", "nothing", "here"), None),
    ],
)
def test_a_location_leads_to_its_message(location: tuple[str | int, ...], model: type | None) -> None:
    assert model_at(VirtualService, location) is model


def test_free_form_values_have_no_message() -> None:
    assert model_at(EnvoyFilter, ("spec", "configPatches", 0, "patch", "value", "name")) is None


def test_all_fields_are_walked_through_lists_and_maps() -> None:
    paths = {path for _, path in all_fields(VirtualService)}
    assert {"spec.hosts[]", "spec.http[].match[].headers{}.exact"} <= paths
    assert "spec.tcp[].route[].destination.port.number" in paths


def test_how_a_message_is_held() -> None:
    assert sub_model(HTTPRoute.model_fields["match"].annotation)[1] == "[]"
    assert sub_model(HTTPRoute.model_fields["mirror"].annotation) == (Destination, "")
    assert sub_model(str) == (None, "")
    assert "mirrorPercentage" in field_names(HTTPRoute)
