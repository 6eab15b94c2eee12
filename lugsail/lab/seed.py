"""Puts the lab's own resources into the control plane: a Sidecar per pod, and the gateway that `up` begins with."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lugsail.client import Client
from lugsail.lab.pod import Pod
from lugsail.lab.resources import sidecar_resource
from lugsail.lab.topology import LABEL_PREFIX

GROUP = "networking.istio.io"
GENERATED_LABEL = f"{LABEL_PREFIX}generated-by"
PLURALS = {"Gateway": "gateways", "VirtualService": "virtualservices", "Sidecar": "sidecars"}


def put(client: Client, plural: str, resource: dict[str, Any]) -> None:
    """Create the resource, or bring the stored one to the same spec. Raises ApiError and Unreachable."""
    namespace = resource["metadata"].setdefault("namespace", "default")
    stored = client.get(GROUP, plural, namespace, resource["metadata"]["name"])
    if stored is None:
        client.create(GROUP, plural, namespace, resource)
    elif stored.get("spec") != resource["spec"]:
        client.replace(GROUP, plural, namespace, resource)


def put_sidecars(client: Client, pods: Sequence[Pod]) -> None:
    """One Sidecar per pod; those of an earlier lab that no pod of this one answers to are deleted."""
    wanted = {(pod.namespace, pod.name): pod for pod in pods if pod.kind == "sidecar"}
    for item in client.list(GROUP, "sidecars", None).get("items", ()):
        metadata = item["metadata"]
        key = (metadata["namespace"], metadata["name"])
        if metadata.get("labels", {}).get(GENERATED_LABEL) == "lab" and key not in wanted:
            client.delete(GROUP, "sidecars", *key)
    for pod in wanted.values():
        put(client, "sidecars", sidecar_resource(pod, pods))


def put_first_gateway(client: Client, sample: Path) -> bool:
    """Apply the sample gateway when the store has no gateway yet; whether it did."""
    import yaml

    if not sample.exists() or client.list(GROUP, "gateways", None).get("items"):
        return False
    for document in yaml.safe_load_all(sample.read_text(encoding="utf-8")):
        if document:
            put(client, PLURALS[document["kind"]], document)
    return True
