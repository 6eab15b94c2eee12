import json
from typing import Any

import pytest

from sidecar.agent.app_metrics import BadScrape, Scrape, merge, parse_scrape
from sidecar.agent.app_probes import BadProbes, Probe, parse_probes

PATH = "/app-health/reviews/livez"


def parse(probe: Any, path: str = PATH) -> Probe:
    return parse_probes(json.dumps({path: probe}))[path]


def test_kinds_of_probes() -> None:
    assert parse_probes("") == {}
    http = {"path": "health", "port": "9080", "scheme": "https", "httpHeaders": [{"name": "x", "value": "y"}]}
    assert parse({"httpGet": http, "timeoutSeconds": 3}) == Probe(
        port=9080, path="/health", https=True, headers=(("x", "y"),), timeout_s=3
    )
    assert parse({"httpGet": {"port": 80}}) == Probe(port=80, path="/")
    assert parse({"tcpSocket": {"port": 3306}}) == Probe(port=3306)


@pytest.mark.parametrize(
    ("probe", "complaint"),
    [
        ([], "must be an object"),
        ({}, "needs either httpGet or tcpSocket"),
        ({"grpc": {"port": 80}}, "needs either httpGet or tcpSocket"),
        ({"httpGet": {"port": 80}, "tcpSocket": {"port": 80}}, "needs either httpGet or tcpSocket"),
        ({"httpGet": {"port": 0}}, r"httpGet\.port: 0 is not a port number"),
        ({"tcpSocket": {"port": "http"}}, r"tcpSocket\.port: 'http' is not a port number"),
        ({"httpGet": {"port": 80, "scheme": "FTP"}}, r"httpGet\.scheme: 'FTP'"),
        ({"httpGet": {"port": 80, "httpHeaders": ["x"]}}, r"httpGet\.httpHeaders: must be a list such as"),
        ({"tcpSocket": {"port": 80}, "timeoutSeconds": 1000}, r"timeoutSeconds: 1000 is not a number up to 60"),
    ],
)
def test_what_is_wrong_is_named(probe: Any, complaint: str) -> None:
    with pytest.raises(BadProbes, match=f"LUGSAIL_APP_PROBERS: {PATH}.*{complaint}"):
        parse(probe)


def test_wrong_wholes() -> None:
    with pytest.raises(BadProbes, match="is not JSON"):
        parse_probes("{")
    with pytest.raises(BadProbes, match="at most 64 probes"):
        parse_probes(json.dumps({f"/app-health/a/{n}": {"tcpSocket": {"port": 1}} for n in range(65)}))
    with pytest.raises(BadProbes, match="must begin with /app-health/"):
        parse({"tcpSocket": {"port": 80}}, "/healthz/ready")


@pytest.mark.parametrize(
    ("text", "scrape"),
    [
        ("", None),
        ('{"scrape": "false", "port": "9080"}', None),
        ('{"scrape": "true"}', Scrape(80, "/metrics")),
        ('{"scrape": true, "port": 9080, "path": "stats"}', Scrape(9080, "/stats")),
        ('{"scrape": "true", "port": "15020"}', None),
    ],
)
def test_where_the_app_shows_metrics(text: str, scrape: Scrape | None) -> None:
    assert parse_scrape(text) == scrape


@pytest.mark.parametrize("text", ["{", "[]", '{"scrape": "true", "port": "http"}'])
def test_wrong_scrapes(text: str) -> None:
    with pytest.raises(BadScrape, match="LUGSAIL_PROMETHEUS_ANNOTATIONS"):
        parse_scrape(text)


def test_one_page_of_both() -> None:
    page = merge(b"proxy_total 1", b"app_total 2\n# EOF\n", 3).decode()
    assert page.splitlines()[1:] == ["lugsail_agent_scrape_failures_total 3", "app_total 2", "proxy_total 1"]
    assert page.endswith("\n")
