"""One proxy's view of a snapshot: its scope, and the look-ups that translation makes for it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from controlplane.model.destination_rule import MergedRule
from controlplane.model.mesh_config import MeshConfig
from controlplane.model.mesh_snapshot import Conflict, MeshSnapshot
from controlplane.model.proxy import Proxy
from controlplane.model.service import Service
from controlplane.model.sidecar_scope import SidecarScope, build_scope, select_sidecar
from controlplane.model.telemetry import ProxyTelemetry, applicable, proxy_telemetry
from controlplane.translate.built import Memo


@dataclass(eq=False)
class View:
    """Made for one build. `conflicts` collects what could not take effect while building."""

    snapshot: MeshSnapshot
    proxy: Proxy
    scope: SidecarScope
    memo: Memo
    conflicts: list[Conflict] = field(default_factory=list)

    @property
    def mesh(self) -> MeshConfig:
        return self.snapshot.mesh

    @cached_property
    def locality(self) -> str:
        """Where the proxy is: as it says itself, else as the registry says of its workload."""
        return self.proxy.locality or self.snapshot.locality_of(self.proxy)

    @cached_property
    def telemetry(self) -> ProxyTelemetry:
        """What the proxy traces and logs; the same object while nothing of it changes."""
        configs = applicable(self.snapshot.telemetries, self.proxy, self.mesh.root_namespace)
        return self.memo.get(("telemetry", self.mesh, configs), lambda: proxy_telemetry(self.mesh, configs))

    def service(self, host: str) -> Service | None:
        """The service that this proxy means by a host name; one outside its scope when there is none in it."""
        found = self.scope.service(host)
        if found is not None:
            return found
        candidates = self.snapshot.services_for_host(host)
        own = next((s for s in candidates if s.namespace == self.proxy.namespace), None)
        return own or (candidates[0] if candidates else None)

    def rule(self, service: Service) -> MergedRule | None:
        """The DestinationRule for a service."""
        return self.snapshot.destination_rules.find(
            service.host, service.namespace, self.proxy.namespace, self.proxy.label_map
        )

    def rule_for_host(self, host: str) -> MergedRule | None:
        """The DestinationRule for a host name, whether or not it is a service of the scope."""
        service = self.service(host)
        return self.rule(service) if service is not None else None

    def relevant_labels(self, keys: Iterable[str]) -> tuple[tuple[str, str | None], ...]:
        """The proxy's values of just these labels: the part of a key that depends on labels."""
        labels = self.proxy.label_map
        return tuple((key, labels.get(key)) for key in sorted(set(keys)))


def view_of(snapshot: MeshSnapshot, proxy: Proxy, memo: Memo) -> View:
    """The view of a proxy. The scope is kept while the snapshot's services, VirtualServices and Sidecars are."""
    mesh = snapshot.mesh
    sidecar = None
    if not proxy.is_router:
        sidecar = select_sidecar(snapshot.sidecars, proxy.namespace, proxy.label_map, mesh.root_namespace)
    key = ("scope", sidecar, proxy.namespace, snapshot.services, snapshot.virtual_services, mesh.allow_any)
    scope = memo.get(
        key,
        lambda: build_scope(
            sidecar, proxy.namespace, snapshot.services, snapshot.virtual_services, mesh.allow_any, memo.get
        ),
    )
    return View(snapshot, proxy, scope, memo)
