"""Lists as tables (`Accept: application/json;as=Table`), with the columns that Istio's CRDs print. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from controlplane.apiserver.storage import Stored

# Kind → (column, field of spec). Name comes first and Age last by themselves.
COLUMNS: dict[str, tuple[tuple[str, str], ...]] = {
    "VirtualService": (("Gateways", "gateways"), ("Hosts", "hosts")),
    "DestinationRule": (("Host", "host"),),
    "ServiceEntry": (("Hosts", "hosts"), ("Location", "location"), ("Resolution", "resolution")),
    "WorkloadEntry": (("Address", "address"),),
}


def wants_table(accept: str) -> bool:
    """Whether the first acceptable type asks for a Table."""
    return "as=table" in accept.split(",")[0].replace(" ", "").lower()


def table(kind: str, items: Sequence[Stored], revision: int, now: datetime) -> dict[str, Any]:
    """meta/v1 Table."""
    columns = COLUMNS.get(kind, ())
    names = ("Name", *(name for name, _ in columns), "Age")
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": {"resourceVersion": str(revision)},
        "columnDefinitions": [
            {"name": name, "type": "string", "format": "name" if name == "Name" else "", "priority": 0}
            for name in names
        ],
        "rows": [_row(stored, columns, now) for stored in items],
    }


def _row(stored: Stored, columns: Sequence[tuple[str, str]], now: datetime) -> dict[str, Any]:
    spec = stored.document.get("spec") or {}
    cells = [stored.key.name, *(_cell(spec.get(field)) for _, field in columns), age(stored.created, now)]
    whole = stored.to_dict()
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": whole["metadata"]}
    return {"cells": cells, "object": partial}


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, list):
        return "[" + ",".join(f'"{item}"' for item in value) + "]"
    return str(value)


def age(created: str, now: datetime) -> str:
    """`45s`, `12m`, `5h`, `3d`: how long ago, as kubectl shortens it."""
    seconds = max(0, int((now - datetime.fromisoformat(created).astimezone(UTC)).total_seconds()))
    for limit, size, unit in ((120, 1, "s"), (7200, 60, "m"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"
