from typing import Any

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from google.protobuf.any_pb2 import Any as AnyMessage

from sidecar.config.rejected import Rejected
from sidecar.xds.resources import ResourceSet, rejection_text

TYPE = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def compile_it(message: Any) -> str:
    if message.alt_stat_name == "bad":
        raise Rejected(message.name, "alt_stat_name", "is bad")
    if message.alt_stat_name == "bug":
        raise KeyError("oops")
    return f"{message.name}/{message.alt_stat_name}"


def resource_set(whole: bool = True) -> ResourceSet[str]:
    return ResourceSet(TYPE, Cluster, lambda message: message.name, compile_it, whole)


def packed(name: str, content: str = "") -> AnyMessage:
    value = AnyMessage()
    value.Pack(Cluster(name=name, alt_stat_name=content))
    return value


def apply(resources: ResourceSet[str], version: str, *values: AnyMessage, now_s: float = 1.0) -> Any:
    update = resources.receive(version, values)
    resources.commit(update, update.errors, now_s)
    return update


def test_only_what_differs_is_compiled() -> None:
    resources = resource_set()
    assert apply(resources, "1", packed("a"), packed("b")).changed == {"a": "a/", "b": "b/"}
    update = apply(resources, "2", packed("a"), packed("b", "x"), now_s=2.0)
    assert (update.changed, update.unchanged, update.removed) == ({"b": "b/x"}, {"a"}, set())
    assert resources.version == "2"
    assert resources.accepted["a"].updated_s == 1.0
    assert resources.accepted["b"].updated_s == 2.0


def test_what_a_whole_response_leaves_out_is_removed() -> None:
    resources = resource_set()
    apply(resources, "1", packed("a"), packed("b"))
    assert apply(resources, "2", packed("b")).removed == {"a"}
    assert list(resources.accepted) == ["b"]


def test_what_a_partial_response_leaves_out_stays() -> None:
    resources = resource_set(whole=False)
    apply(resources, "1", packed("a"), packed("b"))
    assert apply(resources, "2", packed("b", "x")).removed == set()
    assert list(resources.accepted) == ["a", "b"]


def test_one_bad_resource_costs_the_others_nothing() -> None:
    resources = resource_set()
    apply(resources, "1", packed("a"), packed("b"))
    update = apply(resources, "2", packed("a", "new"), packed("b", "bad"), packed("c", "bad"))
    assert update.changed == {"a": "a/new"}
    assert update.errors == {"b": "alt_stat_name: is bad", "c": "alt_stat_name: is bad"}
    assert update.removed == set()
    assert resources.version == "1"
    assert resources.accepted["a"].version == "2"
    assert resources.accepted["b"].version == "1"
    assert set(resources.refused) == {"b", "c"}
    assert resources.refused["b"].details == "alt_stat_name: is bad"


def test_a_refusal_is_forgotten_when_the_resource_is_good_or_gone() -> None:
    resources = resource_set()
    apply(resources, "1", packed("a", "bad"), packed("b", "bad"))
    apply(resources, "2", packed("a"))
    assert not resources.refused
    assert resources.version == "2"


def test_a_resource_that_could_not_be_put_to_use_is_tried_again() -> None:
    resources = resource_set()
    update = resources.receive("1", [packed("a")])
    resources.commit(update, {"a": "port is taken"}, 1.0)
    assert resources.receive("2", [packed("a")]).changed == {"a": "a/"}


def test_a_bug_in_the_compiler_is_an_error_of_one_resource() -> None:
    update = resource_set().receive("1", [packed("a", "bug"), packed("b")])
    assert update.errors == {"a": "internal error: KeyError: 'oops'"}
    assert update.changed == {"b": "b/"}


def test_unreadable_resources_are_named_by_position_and_remove_nothing() -> None:
    resources = resource_set()
    apply(resources, "1", packed("a"))
    update = apply(
        resources,
        "2",
        AnyMessage(type_url=TYPE, value=b"\xff\xff"),
        AnyMessage(type_url="type.googleapis.com/envoy.config.listener.v3.Listener"),
        packed(""),
        packed("b"),
        packed("b"),
    )
    assert update.errors["#0"].startswith("can not be decoded")
    assert "not a type.googleapis.com/envoy.config.cluster.v3.Cluster" in update.errors["#1"]
    assert update.errors["#2"] == "has no name"
    assert update.errors["b"] == "appears twice in one response"
    assert "a" in resources.accepted


def test_unwanted_names_are_passed_over() -> None:
    update = resource_set(whole=False).receive("1", [packed("a"), packed("b", "bad")], frozenset({"a"}))
    assert (update.changed, update.errors) == ({"a": "a/"}, {})


def test_drop_forgets_good_and_bad() -> None:
    resources = resource_set(whole=False)
    apply(resources, "1", packed("a"), packed("b", "bad"))
    resources.drop({"a", "b"})
    assert not resources.accepted and not resources.refused


def test_the_rejection_names_every_bad_resource() -> None:
    assert rejection_text("cluster", {"b": "two", "a": "one"}) == "Error adding/updating cluster(s) a: one\nb: two"
