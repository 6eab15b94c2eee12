"""A connected proxy: what its Envoy node says that matters for its configuration."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

# Addresses that the xDS node id separates by "~": type, IP, workload.namespace, DNS domain.
_ID_PARTS = 4


class InvalidNode(ValueError):
    """The node does not say who it is; the text tells what is missing."""


@dataclass(frozen=True)
class Proxy:
    """One proxy. Compared by value; everything here may change what it is sent."""

    kind: str  # "sidecar" or "router"
    name: str  # the workload's name
    namespace: str
    addresses: tuple[str, ...]
    labels: tuple[tuple[str, str], ...] = ()
    service_account: str = ""
    interception: str = "REDIRECT"  # REDIRECT, TPROXY or NONE
    bind_address: str = "0.0.0.0"  # noqa: S104 - the name Istio gives to wildcard listeners; nothing is bound here
    locality: str = ""
    user_agent: str = ""  # "envoy" of a stock Envoy, "lugsail" of the Python sidecar
    metadata: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    @cached_property
    def label_map(self) -> dict[str, str]:
        return dict(self.labels)

    @property
    def id(self) -> str:
        """`workload.namespace`."""
        return f"{self.name}.{self.namespace}"

    @property
    def is_router(self) -> bool:
        return self.kind == "router"

    @property
    def is_stock_envoy(self) -> bool:
        """Whether it is an Envoy without Istio's own filters."""
        return self.user_agent == "envoy"

    @property
    def captures(self) -> bool:
        """Whether traffic is redirected to the proxy, so that it sees original destinations."""
        return self.interception != "NONE"

    @cached_property
    def captures_dns(self) -> bool:
        """Whether its agent answers the workload's DNS queries (node metadata DNS_CAPTURE)."""
        return dict(self.metadata).get("DNS_CAPTURE", "").lower() in ("true", "1")

    @classmethod
    def from_node(cls, node: Any) -> "Proxy":
        """From envoy.config.core.v3.Node, as Istio's agents fill it in.

        Raises InvalidNode when the id is not `type~ip~workload.namespace~domain`.
        """
        parts = node.id.split("~")
        if len(parts) != _ID_PARTS or parts[0] not in ("sidecar", "router"):
            raise InvalidNode(
                f"node id {node.id!r} is not `sidecar|router~IP~WORKLOAD.NAMESPACE~DOMAIN`, "
                "for example `sidecar~127.20.1.1~reviews-v1.default~default.svc.cluster.local`"
            )
        kind, address, identity, _domain = parts
        metadata = _plain_struct(node.metadata)
        name, _, namespace = identity.rpartition(".")
        labels = metadata.get("LABELS")
        ips = str(metadata.get("INSTANCE_IPS") or address)
        locality = "/".join(
            filter(None, (node.locality.region, node.locality.zone, node.locality.sub_zone))
        )
        return cls(
            kind=kind,
            name=str(metadata.get("WORKLOAD_NAME") or name),
            namespace=str(metadata.get("NAMESPACE") or namespace),
            addresses=tuple(dict.fromkeys([address, *filter(None, ips.split(","))])),
            labels=tuple(sorted((str(k), str(v)) for k, v in labels.items())) if isinstance(labels, Mapping) else (),
            service_account=str(metadata.get("SERVICE_ACCOUNT") or ""),
            interception=str(metadata.get("INTERCEPTION_MODE") or "REDIRECT"),
            bind_address=str(metadata.get("BIND_ADDRESS") or "0.0.0.0"),  # noqa: S104 - Istio's name for "any"
            locality=locality,
            user_agent=node.user_agent_name,
            metadata=tuple(sorted((str(k), v) for k, v in metadata.items() if isinstance(v, str))),
        )


def _plain_struct(struct: Any) -> dict[str, Any]:
    """google.protobuf.Struct as plain Python values; only strings and one level of maps of strings are needed."""
    out: dict[str, Any] = {}
    for key, value in struct.fields.items():
        which = value.WhichOneof("kind")
        if which == "string_value":
            out[key] = value.string_value
        elif which == "struct_value":
            out[key] = {k: v.string_value for k, v in value.struct_value.fields.items()}
        elif which == "bool_value":
            out[key] = "true" if value.bool_value else "false"
        elif which == "number_value":
            out[key] = f"{value.number_value:g}"
    return out
