"""Resources as documents, and a store that does not ask the clock."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from controlplane.apiserver.storage import Store
from lugsail.api.load import load_resource


def virtual_service(name: str = "reviews", subset: str = "v1", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "VirtualService",
        "metadata": {"name": name, "namespace": "default", **metadata},
        "spec": {"hosts": [name], "http": [{"route": [{"destination": {"host": name, "subset": subset}}]}]},
    }


def gateway(name: str = "web", namespace: str = "default") -> dict[str, Any]:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Gateway",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": {"istio": "ingressgateway"},
            "servers": [{"port": {"number": 80, "name": "http", "protocol": "HTTP"}, "hosts": ["*"]}],
        },
    }


def open_store(path: Path) -> Store:
    """Its moments are numbered, its uids too."""
    numbers = itertools.count(1)
    return Store(path, now=lambda: "2026-01-01T00:00:00Z", new_uid=lambda: f"uid-{next(numbers)}")


def create(store: Store, document: dict[str, Any]):
    return store.create(load_resource(document), document)


def update(store: Store, document: dict[str, Any], expected: int | None = None):
    return store.update(load_resource(document), document, expected)
