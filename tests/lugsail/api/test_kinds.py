import json

import pytest

from lugsail.api.kinds import KINDS, UnknownKind, find_kind, kind_schema


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("vs", "VirtualService"),
        ("virtualservices", "VirtualService"),
        ("VirtualService", "VirtualService"),
        ("virtualservice.networking.istio.io", "VirtualService"),
        ("dr", "DestinationRule"),
        ("gw", "Gateway"),
        ("se", "ServiceEntry"),
        ("serviceentries", "ServiceEntry"),
        ("WE", "WorkloadEntry"),
        ("sidecar", "Sidecar"),
        ("envoyfilters", "EnvoyFilter"),
    ],
)
def test_a_kind_is_found_by_any_of_its_names(name: str, kind: str) -> None:
    assert find_kind(name) is KINDS[kind]


def test_an_unknown_name_says_what_there_is() -> None:
    with pytest.raises(UnknownKind, match=r"'pods'.*virtualservices \(vs\)"):
        find_kind("pods")


def test_every_kind_has_versions_of_one_model() -> None:
    assert set(KINDS) == {
        "VirtualService", "DestinationRule", "Gateway", "ServiceEntry", "WorkloadEntry", "Sidecar", "EnvoyFilter",
        "Telemetry",
    }  # fmt: skip
    for kind in KINDS.values():
        if kind.group == "networking.istio.io":
            assert kind.versions == ("v1", "v1beta1", "v1alpha3")
        assert kind.api_version == f"{kind.group}/v1"
        assert kind.model.__name__ == kind.kind


@pytest.mark.parametrize("kind", list(KINDS))
def test_the_json_schema_speaks_camel_case(kind: str) -> None:
    schema = kind_schema(kind)
    json.dumps(schema)
    assert set(schema["required"]) == {"apiVersion", "kind", "metadata", "spec"}
    for definition in schema["$defs"].values():
        assert not [name for name in definition.get("properties", {}) if "_" in name]
