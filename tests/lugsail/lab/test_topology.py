from pathlib import Path

import pytest
import yaml

from lugsail.lab.paths import shipped
from lugsail.lab.topology import BadTopology, ServicePort, parse_topology, read_topology

REVIEWS = """
services:
  reviews-v2:
    image: x
    command: [python, -m, bookinfo.reviews]
    environment: {STAR_COLOR: black, ENABLE_RATINGS: true, EMPTY: , NUMBER: 3}
    networks: {default: {aliases: [reviews]}}
    labels:
      app: reviews
      version: v2
      lugsail.io/ports: "http:9080, tcp-admin:9000"
      lugsail.io/service-account: bookinfo-reviews
"""


def parse(text: str) -> tuple:
    return parse_topology(yaml.safe_load(text), "app.yaml")


def test_a_workload() -> None:
    (workload,) = parse(REVIEWS)
    assert workload.name == "reviews-v2"
    assert workload.namespace == "default"
    assert workload.labels == {"app": "reviews", "version": "v2"}
    assert workload.service == "reviews"
    assert workload.ports == (ServicePort("http", 9080), ServicePort("tcp-admin", 9000))
    assert [port.protocol for port in workload.ports] == ["HTTP", "TCP"]
    assert workload.service_account == "bookinfo-reviews"
    assert workload.command == ("python", "-m", "bookinfo.reviews")
    assert workload.environment == {"STAR_COLOR": "black", "ENABLE_RATINGS": "true", "EMPTY": "", "NUMBER": "3"}


def test_lists_of_key_value_and_commands_as_text() -> None:
    (workload,) = parse("services: {a: {command: 'sh -c \"x y\"', environment: [A=1, B=x=y], labels: [app=a]}}")
    assert workload.command == ("sh", "-c", "x y")
    assert workload.environment == {"A": "1", "B": "x=y"}
    assert workload.ports == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "app.yaml: there is no `services` mapping"),
        ("services: {}", "there is no `services` mapping"),
        ("services: {Reviews: {labels: {app: a}}}", "services.Reviews: a workload's name is a DNS label"),
        ("services: {a: 3}", "services.a: expected a mapping, found int"),
        ("services: {a: {labels: {version: v1}}}", "services.a.labels: the label `app` is missing"),
        ("services: {a: {labels: 3}}", "services.a.labels: expected a mapping or a list"),
        ("services: {a: {command: {}, labels: {app: a}}}", "services.a.command: expected a list of words"),
        ("services: {a: {labels: {app: a, lugsail.io/port: http:1}}}", "lugsail.io/port is not known; known are"),
        ("services: {a: {labels: {app: a, lugsail.io/ports: http}}}", "'http' is not NAME:PORT"),
        ("services: {a: {labels: {app: a, lugsail.io/ports: 'http:99999'}}}", "is not NAME:PORT"),
        ("services: {a: {labels: {app: a, lugsail.io/ports: 'http:1,http:2'}}}", "repeats a name or a port"),
    ],
)
def test_errors_name_the_place(text: str, message: str) -> None:
    with pytest.raises(BadTopology) as caught:
        parse(text)
    assert message in str(caught.value)


def test_workloads_of_a_service_agree_on_its_ports() -> None:
    with pytest.raises(BadTopology, match="a and b both back the service x but give it different ports"):
        parse(
            "services: {a: {labels: {app: x, lugsail.io/ports: 'http:1'}},"
            " b: {labels: {app: x, lugsail.io/ports: 'http:2'}}}"
        )


def test_files(tmp_path: Path) -> None:
    with pytest.raises(BadTopology, match="Cannot read the topology"):
        read_topology(tmp_path / "none.yaml")
    bad = tmp_path / "bad.yaml"
    bad.write_text("a: [")
    with pytest.raises(BadTopology, match="is not YAML"):
        read_topology(bad)


def test_the_shipped_topology() -> None:
    names = [workload.name for workload in read_topology(shipped("compose/app.yaml"))]
    assert {"productpage-v1", "details-v1", "ratings-v1", "reviews-v1", "reviews-v2", "reviews-v3"} <= set(names)


def test_a_doubled_dollar_is_the_programs_own() -> None:
    spec = {"command": ["sh", "-c", "serve $$PORT"], "environment": ["A=$$B"], "labels": {"app": "a"}}
    (workload,) = parse_topology({"services": {"a-v1": spec}}, "app.yaml")
    assert workload.command == ("sh", "-c", "serve $PORT")
    assert workload.environment == {"A": "$B"}


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "app.yaml").write_bytes(b"\x7fELF\xd0\x00")
    with pytest.raises(BadTopology, match="is not UTF-8 text"):
        read_topology(tmp_path / "app.yaml")
