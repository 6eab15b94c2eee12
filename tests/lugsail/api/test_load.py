from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lugsail.api.documents import parse_documents
from lugsail.api.errors import InvalidResource
from lugsail.api.kinds import KINDS
from lugsail.api.load import describe, load_resource
from tests.lugsail.api.helpers import errors_of, resource

SAMPLES = sorted(
    path for path in (Path(__file__).parents[3] / "samples").rglob("*.yaml") if not path.name.startswith("mesh-config")
)
ROUTE = "hosts: [reviews]\nhttp: [{route: [{destination: {host: reviews}}]}]"


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_every_sample_is_good_and_comes_back_as_written(path: Path) -> None:
    for document in parse_documents(path.read_text(), str(path)):
        loaded = load_resource(document.data)
        metadata = {"namespace": "default", **document.data["metadata"]}
        assert loaded.to_dict() == {**document.data, "metadata": metadata}


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha3"])
def test_all_versions_are_one_resource(version: str) -> None:
    data = resource("VirtualService", ROUTE) | {"apiVersion": f"networking.istio.io/{version}"}
    loaded = load_resource(data)
    assert loaded.key == load_resource(resource("VirtualService", ROUTE)).key
    assert loaded.api_version == f"networking.istio.io/{version}"


def test_the_namespace_is_the_default_unless_named() -> None:
    data = resource("VirtualService", ROUTE)
    del data["metadata"]["namespace"]
    assert load_resource(data).namespace == "default"
    assert load_resource(data, "prod").namespace == "prod"
    assert "namespace" not in data["metadata"]
    assert load_resource(resource("VirtualService", ROUTE, namespace="own"), "prod").namespace == "own"


def test_status_and_server_filled_metadata_are_kept() -> None:
    data = resource("VirtualService", ROUTE)
    data["status"] = {"conditions": []}
    data["metadata"] |= {"creationTimestamp": None, "uid": "u", "managedFields": [{"manager": "kubectl"}]}
    del (want := dict(data["metadata"]))["creationTimestamp"]
    assert load_resource(data).to_dict() == {**data, "metadata": want}


def test_unknown_fields_are_named_with_the_nearest_known_one() -> None:
    spec = """
hosts: [reviews]
timeout: 3s
http:
- routes: [{destination: {host: reviews}}]
  route: [{destination: {hosts: reviews, portt: {number: 80}}}]
- route: [{destination: {host: reviews}}]
  qwertz: 1
"""
    assert [str(error) for error in errors_of(resource("VirtualService", spec))][:5] == [
        "spec.http[0].route[0].destination.hosts: unknown field `hosts`; did you mean `host`?",
        "spec.http[0].route[0].destination.portt: unknown field `portt`; did you mean `port`?",
        "spec.http[0].routes: unknown field `routes`; did you mean `route`?",
        "spec.http[1].qwertz: unknown field `qwertz`; known here: `corsPolicy`, `delegate`, `directResponse`, `fault`,"
        " `headers`, `match`, `mirror`, `mirrorPercent`, `mirrorPercentage`, `mirrors`, `name`, `redirect`, `retries`,"
        " `rewrite`, `route`, `timeout`",
        "spec.timeout: unknown field `timeout`; `timeout` belongs in `spec.http[]`",
    ]


def test_schema_and_meaning_are_told_at_once() -> None:
    spec = """
hosts: [reviews, "not a host"]
http:
- retries: {attempts: many}
  timeout: 5
  fault: {delay: {fixedDelay: 0.1ms, percentage: {value: 101}}}
  route: [{destination: {host: reviews}, weight: -1}]
"""
    found = {error.path: str(error) for error in errors_of(resource("VirtualService", spec))}
    assert list(found) == [
        "spec.http[0].timeout",
        "spec.http[0].retries.attempts",
        "spec.hosts[1]",
        "spec.http[0].route[0].weight",
        "spec.http[0].fault.delay.percentage.value",
        "spec.http[0].fault.delay.fixedDelay",
    ]
    assert 'write a duration with its unit, such as "5s"' in found["spec.http[0].timeout"]
    assert "must be a whole number, not 'many'" in found["spec.http[0].retries.attempts"]


def test_a_misspelt_action_is_not_also_called_missing() -> None:
    spec = "hosts: [reviews]\nhttp: [{routes: [{destination: {host: reviews}}]}]"
    assert [error.path for error in errors_of(resource("VirtualService", spec))] == ["spec.http[0].routes"]


@pytest.mark.parametrize(
    ("spec", "text"),
    [
        ("hosts: [1]", "spec.hosts[0]: must be text, not the number 1; quote it"),
        ("hosts: reviews", "spec.hosts: must be a list, not 'reviews'"),
        ("http: [reviews]", "spec.http[0]: must be a mapping, not 'reviews'"),
        ("http: [null]", "spec.http[0]: must be a mapping, not null"),
        (
            "http: [{redirect: {derivePort: FROM_PORT}}]",
            "spec.http[0].redirect.derivePort: must be one of FROM_PROTOCOL_DEFAULT, FROM_REQUEST_PORT, not"
            " 'FROM_PORT'; did you mean FROM_REQUEST_PORT?",
        ),
        ("http: [{match: [{port: -1}]}]", "spec.http[0].match[0].port: must be at least 0, not the number -1"),
        ("http: [{match: [{ignoreUriCase: 1}]}]", "spec.http[0].match[0].ignoreUriCase: must be true or false"),
        ("http: [{match: [{headers: {x: abc}}]}]", "spec.http[0].match[0].headers.x: must be a mapping, not 'abc'"),
        ("http: [{timeout: 5d}]", "spec.http[0].timeout: '5d' is not a duration; write a number with a unit"),
        ("[1, 2]", "spec: must be a mapping, not a list"),
    ],
)
def test_wrong_types_are_told_in_plain_words(spec: str, text: str) -> None:
    assert str(errors_of(resource("VirtualService", spec))[0]).startswith(text)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "document is invalid (1 error):\n  must be a mapping with apiVersion, kind, metadata and spec"),
        ({}, "resource without a name is invalid (2 errors):\n  apiVersion: is required\n  kind: is required"),
        ({"apiVersion": "v1", "kind": 3}, "kind: must be text"),
        (
            {"apiVersion": "security.istio.io/v1", "kind": "PeerAuthentication", "metadata": {"name": "a"}},
            "PeerAuthentication default/a is invalid (1 error):\n"
            "  kind: kind PeerAuthentication of group security.istio.io is not supported yet; supported kinds:",
        ),
        ({"apiVersion": "v1", "kind": "Service"}, "kind Service of group core is not supported yet"),
        ({"apiVersion": "networking.istio.io/v1", "kind": "VirtualServce"}, "did you mean VirtualService?"),
        (
            {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"},
            "kind Gateway of group gateway.networking.k8s.io is not known; write networking.istio.io/v1",
        ),
        ({"apiVersion": "networking.istio.io/v2", "kind": "Sidecar"}, "networking.istio.io has no version 'v2'; write"),
        ({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar"}, "metadata: is required"),
        ({"apiVersion": "networking.istio.io/v1", "kind": "Sidecar", "metadata": {}}, "metadata.name: is required"),
    ],
)
def test_what_is_no_resource_of_ours(data: Any, text: str) -> None:
    with pytest.raises(InvalidResource) as caught:
        load_resource(data)
    assert text in str(caught.value)


@pytest.mark.parametrize("name", ["Reviews", "a_b", "-a", "a-", "a..b", "a" * 254, ""])
def test_names_are_rfc_1123_subdomains(name: str) -> None:
    assert [error.path for error in errors_of(resource("VirtualService", ROUTE, name=name))] == ["metadata.name"]


def test_a_namespace_is_one_label() -> None:
    assert [e.path for e in errors_of(resource("VirtualService", ROUTE, namespace="a.b"))] == ["metadata.namespace"]
    assert errors_of(resource("VirtualService", ROUTE, name="a.b-c.1")) == []


def test_describe_needs_little() -> None:
    assert describe({"kind": "Gateway", "metadata": {"name": "g", "namespace": "n"}}) == "Gateway n/g"
    assert describe({"metadata": []}) == "resource without a name"
    assert describe("x") == "document"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)


@cache
def spec_like(kind: str) -> st.SearchStrategy[Any]:
    """Values under real field names, to get past the first layer of checks."""
    names = sorted(_names(KINDS[kind].model.model_json_schema(by_alias=True)))
    return st.recursive(
        json_values,
        lambda inner: st.dictionaries(st.sampled_from(names), inner | st.lists(inner, max_size=2), max_size=4),
        max_leaves=10,
    )


def _names(schema: dict[str, Any]) -> set[str]:
    return {name for definition in schema["$defs"].values() for name in definition.get("properties", {})}


# A loaded machine makes single examples slow; that says nothing about the code.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@pytest.mark.parametrize("kind", list(KINDS))
@given(data=st.data())
def test_any_spec_is_a_resource_or_invalid(kind: str, data: st.DataObject) -> None:
    whole = {
        "apiVersion": "networking.istio.io/v1",
        "kind": kind,
        "metadata": {"name": "a"},
        "spec": data.draw(spec_like(kind)),
    }
    try:
        loaded = load_resource(whole)
    except InvalidResource as error:
        assert error.errors
        return
    assert load_resource(loaded.to_dict()) == loaded


@settings(deadline=None)
@given(json_values)
def test_any_value_is_a_resource_or_invalid(value: Any) -> None:
    with pytest.raises(InvalidResource):
        load_resource(value)
