"""Who has which address: workloads as the control plane knows them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

GATEWAY_PREFIX = "istio-"  # `istio-ingressgateway` is shown, and may be asked for, as `ingressgateway`
ALIASES = {"gateway": "ingressgateway"}


@dataclass(frozen=True, slots=True)
class Peer:
    """One side of a request: a workload, or whatever is known instead (a service, a host, an address)."""

    name: str
    namespace: str = ""
    app: str = ""
    version: str = ""
    is_workload: bool = True

    @property
    def shown(self) -> str:
        """`reviews-v2`; with the version where the name does not tell it: `reviews (v2)`."""
        name = self.name.removeprefix(GATEWAY_PREFIX)
        if self.version and not name.endswith(self.version):
            name = f"{name} ({self.version})"
        return name if self.namespace in ("", "default", "istio-system") else f"{name}.{self.namespace}"

    def is_named(self, wanted: str) -> bool:
        """By workload, app, or either with its namespace; gateways without `istio-` too."""
        name, dot, namespace = wanted.partition(".")
        name = ALIASES.get(name, name)
        names = {self.name, self.name.removeprefix(GATEWAY_PREFIX), self.app} - {""}
        return wanted in (self.name, self.shown) or (name in names and (not dot or namespace == self.namespace))


class Peers:
    """Workloads by address, and by `name.namespace`."""

    def __init__(self, workloads: Iterable[tuple[str, Peer]] = (), gateways: Iterable[str] = ()) -> None:
        """`workloads`: (address, workload); an address that two claim is nobody's."""
        self._by_address: dict[str, Peer | None] = {}
        self._by_proxy: dict[str, Peer] = {}
        self._addresses: dict[str, set[str]] = {}
        self.gateways = frozenset(gateways)
        for address, peer in workloads:
            known = self._by_address.get(address, peer)
            same = known is not None and (known.name, known.namespace) == (peer.name, peer.namespace)
            self._by_address[address] = peer if same else None
            proxy = f"{peer.name}.{peer.namespace}"
            self._by_proxy[proxy] = peer
            self._addresses.setdefault(proxy, set()).add(address)

    def at(self, address: str) -> Peer | None:
        return self._by_address.get(address)

    def of_proxy(self, proxy: str) -> Peer:
        """The workload of that proxy; of an unknown one, what its name says."""
        found = self._by_proxy.get(proxy)
        if found is None:
            name, _, namespace = proxy.partition(".")
            found = self._by_proxy[proxy] = Peer(name, namespace)
        return found

    def has(self, proxy: str, address: str) -> bool:
        """Whether that is an address of the proxy's own pod."""
        return address in self._addresses.get(proxy, ())


def from_workloads(answer: Mapping[str, Any], proxies: Iterable[Mapping[str, Any]] = ()) -> Peers:
    """Of GET /apis/lugsail.io/v1/workloads; `proxies` of /debug/syncz says which are gateways."""
    found = [
        (
            str(item.get("address", "")),
            Peer(
                str(item.get("name", "")),
                str(item.get("namespace", "")),
                str(item.get("app") or ""),
                str(item.get("version") or ""),
            ),
        )
        for item in answer.get("items", ())
    ]
    return _with_proxies(found, proxies)


def from_endpoints(services: Iterable[Mapping[str, Any]], proxies: Iterable[Mapping[str, Any]]) -> Peers:
    """Of /debug/endpointz and /debug/syncz, for a control plane that has no list of workloads."""
    found = []
    for service in services:
        for endpoint in service.get("endpoints", ()):
            name, _, namespace = str(endpoint.get("workload", "")).partition(".")
            labels = endpoint.get("labels") or {}
            peer = Peer(name, namespace, str(labels.get("app", "")), str(labels.get("version", "")))
            if name:
                found.append((str(endpoint.get("address", "")), peer))
    return _with_proxies(found, proxies)


def _with_proxies(found: list[tuple[str, Peer]], proxies: Iterable[Mapping[str, Any]]) -> Peers:
    known = {f"{peer.name}.{peer.namespace}": peer for _, peer in found}
    gateways = []
    for proxy in proxies:
        name, _, namespace = str(proxy.get("proxy", "")).partition(".")
        found.append((str(proxy.get("ip", "")), known.get(f"{name}.{namespace}", Peer(name, namespace))))
        if proxy.get("type") == "router":
            gateways.append(f"{name}.{namespace}")
    return Peers(found, gateways)
