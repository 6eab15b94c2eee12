"""Traces of Bookinfo's page as the tracing service shows them: whole, named, sampled, and broken by a careless app."""

from __future__ import annotations

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.e2e.conftest import envoy_missing
from tests.e2e.lab import REPO, SAMPLES, Lab, eventually
from tests.e2e.observed import GATEWAY, Tree, now_us, traces, trees, url_of

pytestmark = pytest.mark.e2e

TELEMETRY = SAMPLES / "telemetry"
SUBNET, PORT = "127.52", 18052
OTHER_PLACE = ("127.58", 18058)  # beside the last of the meshes
PAGES = 5
#: name → (proxy of all, options)
MESHES = {
    "python": ("python", ()),
    "envoy": ("envoy", ()),
    "mixed": ("python", ("--proxy-for", "productpage-v1=envoy", "--proxy-for", "ratings-v1=envoy")),
}
ONLY_V2 = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews}
spec:
  hosts: [reviews]
  http: [{route: [{destination: {host: reviews, subset: v2}}]}]
"""
V2_ALONE = (SAMPLES / "bookinfo" / "destination-rule-reviews.yaml", ONLY_V2)
NOTHING_SAMPLED = """
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: mesh-default, namespace: istio-system}
spec: {tracing: [{randomSamplingPercentage: 0}]}
"""


def host(service: str, path: str = "*") -> str:
    return f"{service}.default.svc.cluster.local:9080/{path}"


def hop(client: str, service: str, *below: Tree) -> Tree:
    """A call between two sidecars: the client's span around the server's."""
    server: Tree = (f"{service}.default", "server", host(service), below)
    return (f"{client}.default", "client", host(service), (server,))


RATINGS = hop("reviews", "ratings")


def page_tree(*reviews: Tree) -> Tree:
    """The tree of a page: gateway → productpage → details, reviews → what reviews calls."""
    calls = (hop("productpage", "details"), hop("productpage", "reviews", *reviews))
    productpage: Tree = ("productpage.default", "server", host("productpage", "productpage"), calls)
    egress = "router outbound|9080||productpage.default.svc.cluster.local egress"
    return (GATEWAY, "server", host("productpage", "productpage"), ((GATEWAY, "client", egress, (productpage,)),))


@pytest.fixture(scope="module", params=[*MESHES, pytest.param("containers", marks=pytest.mark.docker)])
def mesh(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    if request.param == "containers":
        lab: Lab = request.getfixturevalue("docker_python_lab")
        lab.apply(*V2_ALONE)
        yield lab
        lab.reset()
        return
    proxy, options = MESHES[request.param]
    if request.param != "python" and (reason := envoy_missing()):
        pytest.skip(reason)
    with running(Lab(proxy, SUBNET, PORT, tmp_path_factory.mktemp("lab-tracing"), *options)) as lab:
        yield lab


@contextmanager
def running(lab: Lab) -> Iterator[Lab]:
    with lab.running():
        lab.apply(*V2_ALONE)
        yield lab


def read_pages(lab: Lab, count: int = PAGES) -> int:
    """Read the page so often; since when, in µs."""
    since = now_us()
    assert [lab.get("/productpage").status for _ in range(count)] == [200] * count
    return since


def settled(lab: Lab, since: int, service: str, count: int, spans: int) -> list[tuple[Tree, ...]]:
    """The trees of the traces since then, once there are so many of so many spans each."""
    base = url_of(lab, "tracing")

    def whole() -> list[tuple[Tree, ...]]:
        found = traces(base, since, service)
        assert len(found) >= count, f"{len(found)} traces"
        assert all(len(trace["spans"]) >= spans for trace in found), [len(trace["spans"]) for trace in found]
        return [trees(trace) for trace in found]

    found: list[tuple[Tree, ...]] = eventually(whole, 20, "the traces are whole")
    assert len(found) == count
    return found


def test_every_page_is_one_whole_trace(mesh: Lab) -> None:
    since = read_pages(mesh)
    assert settled(mesh, since, GATEWAY, PAGES, 9) == [(page_tree(RATINGS),)] * PAGES


def test_sampling_is_as_a_telemetry_says(mesh: Lab) -> None:
    mesh.apply(NOTHING_SAMPLED)
    try:
        since = read_pages(mesh)
        mesh.apply(TELEMETRY / "telemetry-sampling-100.yaml")
        read_pages(mesh, 1)
        assert settled(mesh, since, GATEWAY, 1, 9) == [(page_tree(RATINGS),)]
    finally:
        mesh.cli("delete", "-f", str(TELEMETRY / "telemetry-sampling-100.yaml"), check=False)


def test_tags_of_ones_own(mesh: Lab) -> None:
    mesh.apply(TELEMETRY / "telemetry-custom-tags.yaml")
    try:
        get = mesh.sign_in("jason")
        since = now_us()
        assert get("/productpage").status == 200
        base = url_of(mesh, "tracing")
        tags = {"course": "service-mesh", "end_user": "jason"}
        found = eventually(lambda: traces(base, since, "reviews.default", **tags), 20, "a span with both tags")
        assert len(found) == 1
        assert traces(base, since, "reviews.default", course="another") == []
    finally:
        mesh.cli("delete", "-f", str(TELEMETRY / "telemetry-custom-tags.yaml"), check=False)


def test_an_app_that_drops_the_headers_breaks_the_trace(tmp_path: pathlib.Path) -> None:
    text = (REPO / "compose" / "app.yaml").read_text()
    careless = text.replace("ENABLE_RATINGS: 'true'", "ENABLE_RATINGS: 'true', PROPAGATE_HEADERS: 'false'")
    assert careless != text
    topology = tmp_path / "app.yaml"
    topology.write_text(careless)
    with running(Lab("python", *OTHER_PLACE, tmp_path / "home", "--topology", str(topology))) as lab:
        since = read_pages(lab)
        assert settled(lab, since, GATEWAY, PAGES, 7) == [(page_tree(),)] * PAGES
        assert settled(lab, since, "ratings.default", PAGES, 2) == [(RATINGS,)] * PAGES


def without_operations(tree: Tree) -> tuple[str, str, tuple[Any, ...]]:
    """OpenTelemetry's tracer has names of its own for spans: who called whom stays."""
    service, kind, _, below = tree
    return service, kind, tuple(without_operations(one) for one in below)


@pytest.mark.parametrize("proxy", ["python", "envoy"])
def test_spans_by_otlp_are_the_same_trees(proxy: str, tmp_path: pathlib.Path) -> None:
    if proxy == "envoy" and (reason := envoy_missing()):
        pytest.skip(reason)
    options = ("--mesh-config", str(TELEMETRY / "mesh-config-otlp.yaml"))
    with running(Lab(proxy, *OTHER_PLACE, tmp_path / "home", *options)) as lab:
        since = read_pages(lab)
        found = settled(lab, since, GATEWAY, PAGES, 9)
        expected = without_operations(page_tree(RATINGS))
        assert [[without_operations(tree) for tree in page] for page in found] == [[expected]] * PAGES
