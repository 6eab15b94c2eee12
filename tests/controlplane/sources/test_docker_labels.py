"""Labels: what they mean, and that no label of anybody's gets further than a message."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.sources.docker_labels import BadLabel, LabelledPort, parse_ports, protocol_of, read_claim

GOOD = {"app": "reviews", "version": "v1", "lugsail.io/ports": "http:9080"}



def test_what_is_left_out_has_a_default():
    made = read_claim(GOOD, "reviews-v1")
    assert (made.workload, made.namespace, made.service, made.service_account) == (
        *("reviews-v1", "default", "reviews", "default"),
    )
    assert made.ports == (LabelledPort("http", 9080, 9080),)
    assert made.label_map == {"app": "reviews", "version": "v1"}


def test_everything_can_be_said():
    said = {
        "lugsail.io/service": "books",
        "lugsail.io/ports": "http:80:8080, tcp-db:3306",
        "lugsail.io/service-account": "bookinfo-reviews",
        "lugsail.io/namespace": "prod",
        "lugsail.io/workload": "books-a",
    }
    made = read_claim({**GOOD, **said}, "x", number=3)
    assert (made.workload, made.namespace, made.service, made.service_account) == (
        *("books-a-3", "prod", "books", "bookinfo-reviews"),
    )
    assert made.ports == (LabelledPort("http", 80, 8080), LabelledPort("tcp-db", 3306, 3306))


@pytest.mark.parametrize(
    "labels", [{}, {"app": "curl"}, {"lugsail.io/ports": "http:80"}, {"app": "curl", "lugsail.io/ports": " "}]
)
def test_without_a_service_or_ports_it_is_no_endpoint(labels):
    assert read_claim(labels, "curl") is None


def test_only_labels_of_the_workload_are_its_labels():
    others = {
        "com.docker.compose.project": "x",
        "org.opencontainers.image.title": "x",
        "traffic.sidecar.istio.io/includeInboundPorts": "*",
        "maintainer": "A. Person <a@example.com>",
        "description": "free text, as images have it",
        "istio": "ingressgateway",
        "topology.kubernetes.io/zone": "a",
    }
    assert read_claim({**GOOD, **others}, "x").label_map == {
        "app": "reviews",
        "version": "v1",
        "istio": "ingressgateway",
        "topology.kubernetes.io/zone": "a",
    }


@pytest.mark.parametrize(
    ("label", "text", "message"),
    [
        ("lugsail.io/ports", "9080", "'9080' is not NAME:PORT"),
        ("lugsail.io/ports", "http:1:2:3", "is not NAME:PORT"),
        ("lugsail.io/ports", "http:0", "'0' is not a port from 1 to 65535"),
        ("lugsail.io/ports", "http:65536", "'65536' is not a port"),
        ("lugsail.io/ports", "http:٣", "is not a port"),
        ("lugsail.io/ports", "http:" + "9" * 4000, "is not a port"),
        ("lugsail.io/ports", "http:80:-1", "'-1' is not a port"),
        ("lugsail.io/ports", "HTTP:80", "is not NAME:PORT"),
        ("lugsail.io/ports", "http:80,http:81", "'http:81' repeats a name or a port"),
        ("lugsail.io/ports", "http:80,tcp:80", "'tcp:80' repeats a name or a port"),
        ("lugsail.io/ports", ",,", "holds no port"),
        ("lugsail.io/ports", ",".join(f"p{n}:{n}" for n in range(1, 67)), "holds 66 ports; at most 64"),
        ("lugsail.io/ports", "x" * 5000, "is 5000 characters long; at most 4096"),
        ("lugsail.io/service", "Reviews!", "is not a DNS label"),
        ("lugsail.io/service", "a.b", "is not a DNS label"),
        ("lugsail.io/namespace", "x" * 64, "is not a DNS label"),
        ("lugsail.io/workload", "../etc", "is not a DNS label"),
        ("lugsail.io/service-account", "a b", "is not a DNS name"),
        ("app", "a\nb", "is not a DNS label"),
        ("version", "x" * 64, "is not a label's value"),
    ],
)
def test_a_bad_label_is_named_with_what_would_be_right(label, text, message):
    with pytest.raises(BadLabel) as error:
        read_claim({**GOOD, label: text}, "reviews-v1")
    assert str(error.value).startswith(f"label {label}") and message in str(error.value)
    assert len(str(error.value)) < 300


def test_a_name_that_nobody_gave_must_be_good_as_well():
    with pytest.raises(BadLabel, match=r"label lugsail\.io/workload: 'My_Container'"):
        read_claim(GOOD, "My_Container")


def test_too_many_labels_are_refused():
    with pytest.raises(BadLabel, match="at most 64"):
        read_claim({**GOOD, **{f"label-{n}": "x" for n in range(100)}}, "x")


@pytest.mark.parametrize(
    ("name", "protocol"),
    [("http", "HTTP"), ("http-alt", "HTTP"), ("grpc-web", "GRPC-WEB"), ("grpc-web-x", "GRPC-WEB"), ("grpc-x", "GRPC"),
     ("https", "HTTPS"), ("db", "TCP"), ("mysql", "MYSQL"), ("httpish", "TCP")],
)  # fmt: skip
def test_the_ports_name_says_the_protocol(name, protocol):
    assert protocol_of(name) == protocol


@given(st.dictionaries(st.sampled_from([*GOOD, "lugsail.io/service", "lugsail.io/namespace", "x"]), st.text()))
def test_no_labels_raise_anything_else(labels):
    try:
        read_claim(labels, "x")
    except BadLabel:
        pass


@given(st.text(alphabet="http:80,tc -"))
def test_ports_that_are_taken_are_ports(text):
    try:
        ports = parse_ports(text)
    except BadLabel:
        return
    assert all(0 < p.number < 65536 and 0 < p.target < 65536 and p.name for p in ports)
