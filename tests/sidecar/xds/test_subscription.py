"""Dialogues of the state-of-the-world protocol, from the client's side."""

import pytest

from sidecar.xds.subscription import MAX_ERROR_CHARS, Subscription

EDS = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
CDS = "type.googleapis.com/envoy.config.cluster.v3.Cluster"


def said(request) -> tuple[str, str, list[str], str]:  # type: ignore[no-untyped-def]
    """(version, nonce, names, error) of a request."""
    assert request is not None
    return request.version_info, request.response_nonce, list(request.resource_names), request.error_detail.message


def test_a_wildcard_names_nothing_and_acknowledges() -> None:
    clusters = Subscription(CDS, wildcard=True)
    first = clusters.start()
    assert said(first) == ("", "", [], "")
    assert first is not None and first.type_url == CDS and not first.HasField("error_detail")
    assert said(clusters.ack("v1", "n1")) == ("v1", "n1", [], "")
    assert said(clusters.ack("v2", "n2")) == ("v2", "n2", [], "")


def test_a_nack_keeps_the_last_good_version_and_says_why() -> None:
    clusters = Subscription(CDS, wildcard=True)
    clusters.start()
    clusters.ack("v1", "n1")
    assert said(clusters.nack("n2", "c: type: no such")) == ("v1", "n2", [], "c: type: no such")
    assert said(clusters.ack("v3", "n3")) == ("v3", "n3", [], "")


def test_a_nack_of_the_first_version_has_none_to_keep() -> None:
    clusters = Subscription(CDS, wildcard=True)
    clusters.start()
    assert said(clusters.nack("n1", "bad")) == ("", "n1", [], "bad")


def test_names_are_asked_for_as_they_come_and_go() -> None:
    endpoints = Subscription(EDS, wildcard=False)
    assert endpoints.start() is None
    assert said(endpoints.watch({"b", "a"})) == ("", "", ["a", "b"], "")
    assert endpoints.watch({"a", "b"}) is None
    endpoints.ack("v1", "n1")
    assert said(endpoints.watch({"a", "b", "c"})) == ("v1", "n1", ["a", "b", "c"], "")
    assert said(endpoints.watch({"c"})) == ("v1", "n1", ["c"], "")
    assert said(endpoints.watch(())) == ("v1", "n1", [], "")


def test_nothing_wanted_and_nothing_asked_needs_no_request() -> None:
    assert Subscription(EDS, wildcard=False).watch(()) is None


def test_a_new_stream_starts_without_a_nonce_and_with_the_version_held() -> None:
    endpoints = Subscription(EDS, wildcard=False)
    endpoints.watch({"a"})
    endpoints.ack("v1", "n1")
    assert said(endpoints.start()) == ("v1", "", ["a"], "")
    endpoints.watch(())
    assert endpoints.start() is None
    assert endpoints.watch(()) is None


def test_a_wildcard_has_no_names_to_watch() -> None:
    with pytest.raises(ValueError, match="wildcard"):
        Subscription(CDS, wildcard=True).watch({"a"})


def test_a_long_complaint_is_cut() -> None:
    clusters = Subscription(CDS, wildcard=True)
    message = clusters.nack("n", "x" * (MAX_ERROR_CHARS * 2)).error_detail.message
    assert len(message) < MAX_ERROR_CHARS + 20
    assert message.endswith("(cut)")
