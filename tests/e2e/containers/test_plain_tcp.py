"""Plain TCP by its original destination, and a client without a sidecar, on both proxies."""

from __future__ import annotations

import json
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import PROJECT_PREFIX
from tests.e2e.containers.faults import Containers
from tests.e2e.lab import SAMPLES, ContainerLab, eventually
from tests.e2e.splits import check_split

pytestmark = [pytest.mark.e2e, pytest.mark.docker]

PORT = 18077
PROFILES = ("tcp-echo", "mysql", "plain-client")
RATINGS = "/api/v1/products/0/ratings"
NO_DATABASE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: mysqldb}
spec:
  hosts: [mysqldb]
  tcp: [{route: [{destination: {host: nowhere.example}}]}]
"""
ONE_RATINGS = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: ratings}
spec:
  host: ratings
  subsets: [{name: v2-mysql, labels: {version: v2-mysql}}]
"""


@pytest.fixture(scope="module", params=["python", "envoy"])
def shared(request: pytest.FixtureRequest, images: None) -> Iterator[ContainerLab]:
    home = request.getfixturevalue("tmp_path_factory").mktemp("tcp")
    profiles = [word for profile in PROFILES for word in ("--profile", profile)]
    with ContainerLab(request.param, f"{PROJECT_PREFIX}-tcp", PORT, home, *profiles).running() as lab:
        yield lab


@pytest.fixture
def lab(shared: ContainerLab) -> Iterator[ContainerLab]:
    yield shared
    shared.reset()


@pytest.fixture(scope="module")
def containers(shared: ContainerLab) -> Iterator[Containers]:
    found = Containers(shared.project)
    yield found
    found.close()


def run(container: str, *command: str) -> str:
    """The output of a command in a container; its failure is the test's."""
    done = subprocess.run(["docker", "exec", container, *command], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


def echo(address: tuple[str, int], line: str = "hello") -> str:
    with socket.create_connection(address, timeout=5) as connection:
        connection.sendall(line.encode() + b"\n")
        return connection.makefile().readline().strip()


def test_tcp_shifting_through_the_gateway(lab: ContainerLab, containers: Containers) -> None:
    published = containers.find("gateway").attrs["NetworkSettings"]["Ports"]["31400/tcp"][0]
    assert published["HostIp"] == "127.0.0.1"
    address = ("127.0.0.1", int(published["HostPort"]))
    lab.apply(SAMPLES / "tcp-echo" / "tcp-echo-all-v1.yaml")
    eventually(lambda: echo(address) == "one hello", 10, "the gateway's TCP port leads to version 1")
    assert Counter(echo(address) for _ in range(20)) == {"one hello": 20}
    lab.apply(SAMPLES / "tcp-echo" / "tcp-echo-20-v2.yaml")
    counts = Counter(echo(address).split()[0] for _ in range(300))
    check_split(counts, {"one": 0.8, "two": 0.2})


def test_a_pod_reaches_plain_tcp_by_a_name(lab: ContainerLab, containers: Containers) -> None:
    """The name is the mesh's, the address an automatic one, and the sidecar counts the bytes."""
    curl = containers.find("curl").name
    program = (
        "import socket; address = socket.gethostbyname('tcp-echo'); s = socket.create_connection((address, 9000), 5);"
        "s.sendall(b'hi\\n'); print(address, s.makefile().readline().strip())"
    )
    address, version, text = run(curl, "python", "-c", program).split()
    assert address.startswith("240.240.") and version in ("one", "two") and text == "hi"
    name = r"tcp\.outbound\|9000\|\|tcp-echo\.default\.svc\.cluster\.local;?\.downstream_cx_total"
    assert lab.stat("curl", name) >= 1


def test_ratings_out_of_mysql_and_no_further_when_its_route_leads_nowhere(
    lab: ContainerLab, containers: Containers
) -> None:
    lab.apply(SAMPLES / "bookinfo" / "destination-rule-reviews.yaml", ONE_RATINGS)
    lab.apply(SAMPLES / "bookinfo" / "virtual-service-ratings-mysql.yaml")
    in_database = {"Reviewer1": 5, "Reviewer2": 4}
    eventually(lambda: ratings(lab) == in_database, 30, "ratings from the database")
    database = containers.find("mysqldb-v1").name
    change = "UPDATE test.ratings SET Rating=1 WHERE ReviewID=1"
    run(database, "mariadb", "-uroot", "-e", change)
    assert ratings(lab) == {"Reviewer1": 1, "Reviewer2": 4}
    run(database, "mariadb", "-uroot", "-e", change.replace("=1 W", "=5 W"))
    name = r"tcp\.outbound\|3306\|\|mysqldb\.default\.svc\.cluster\.local;?\.downstream_cx_total"
    assert lab.stat("ratings-v2-mysql", name) >= 1
    lab.apply(NO_DATABASE)
    eventually(lambda: ratings(lab) != in_database, 10, "the TCP route leads nowhere")


def ratings(lab: ContainerLab) -> dict[str, int]:
    answer = json.loads(lab.get(RATINGS).body)
    return answer.get("ratings", {})  # type: ignore[no-any-return]


def test_a_client_without_a_sidecar_is_served_and_obeys_no_rule(lab: ContainerLab, containers: Containers) -> None:
    """It reaches the pods by Docker's own names, through their inbound side; the mesh's routes are not for it."""
    plain = containers.find("plain-client").name
    lab.apply(SAMPLES / "bookinfo" / "destination-rule-all.yaml", SAMPLES / "bookinfo" / "virtual-service-all-v1.yaml")
    versions = set()
    for _ in range(40):
        body = run(plain, "curl", "-sf", "http://reviews:9080/reviews/0")
        versions.add("v1" if "rating" not in body else "v2" if '"black"' in body else "v3")
    assert len(versions) > 1, "as if it had a sidecar"
    with lab.client() as client:
        assert all("rating" not in client.get("http://reviews:9080/reviews/0").body for _ in range(20))
