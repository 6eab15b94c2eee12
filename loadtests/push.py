"""Measures how long an apply takes to be acknowledged by every proxy of the lab."""

from __future__ import annotations

import time
from typing import Any

import yaml

from loadtests.summary import spread
from lugsail.client import Client
from lugsail.lab import seed
from lugsail.lab.paths import shipped

GROUP = "networking.istio.io"
RULES = "samples/bookinfo/destination-rule-all.yaml"
ALTERNATING = (
    "samples/bookinfo/virtual-service-reviews-50-v3.yaml",
    "samples/bookinfo/virtual-service-reviews-90-10.yaml",
)
TIMEOUT_S = 10.0
PAUSE_S = 0.05


class PushFailed(RuntimeError):
    """A proxy rejected the change, or did not answer in time."""


def measure(control_plane_url: str, applies: int) -> dict[str, Any]:
    """`applies` changes of one VirtualService, each acknowledged before the next. Raises PushFailed.

    `ack_ms` is, per proxy and change, from the write to the ACK; `slowest_ack_ms` the same for the last proxy of each
    change; `wall_ms` what a caller of the API waits, the write itself included.
    """
    client = Client(control_plane_url)
    try:
        for document in documents(RULES):
            seed.put(client, "destinationrules", document)
        changes = [documents(path)[0] for path in ALTERNATING]
        seed.put(client, "virtualservices", changes[1])
        each: list[float] = []
        slowest: list[float] = []
        wall: list[float] = []
        proxies = 0
        for number in range(applies):
            time.sleep(PAUSE_S)  # a person's changes come one by one; a burst is another measurement
            times, took_ms = one_change(client, changes[number % 2])
            proxies = len(times)
            each += times
            slowest.append(max(times))
            wall.append(took_ms)
    finally:
        client.close()
    return {
        "applies": applies,
        "proxies": proxies,
        "ack_ms": spread(each),
        "slowest_ack_ms": spread(slowest),
        "wall_ms": spread(wall),
    }


def one_change(client: Client, resource: dict[str, Any]) -> tuple[list[float], float]:
    """(milliseconds to each proxy's ACK, milliseconds until the caller knew it)."""
    namespace = resource["metadata"].setdefault("namespace", "default")
    start = time.perf_counter()
    written = client.replace(GROUP, "virtualservices", namespace, resource)
    lines = list(client.distribution(written.revision, TIMEOUT_S))
    took_ms = (time.perf_counter() - start) * 1000
    return acknowledged(lines), took_ms


def acknowledged(lines: list[dict[str, Any]]) -> list[float]:
    """The ACKs' milliseconds in the lines of a distribution; raises PushFailed when any proxy is without one."""
    decided = [line for line in lines if "proxy" in line]
    refused = [line for line in decided if line["state"] not in ("ACKED", "UNAFFECTED")]
    if refused or not lines or lines[-1].get("pending"):
        raise PushFailed(f"not acknowledged: {refused or lines[-1:]}")
    times = [float(line["ms"]) for line in decided if line["state"] == "ACKED"]
    if not times:
        raise PushFailed(f"no proxy was affected: {lines}")
    return times


def documents(path: str) -> list[dict[str, Any]]:
    """The documents of a shipped YAML file."""
    return [document for document in yaml.safe_load_all(shipped(path).read_text(encoding="utf-8")) if document]
