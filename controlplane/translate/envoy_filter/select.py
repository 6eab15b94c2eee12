"""Which patches are for a proxy, and for which part of its configuration."""

from collections.abc import Iterable
from dataclasses import dataclass

import re2

from controlplane.model.config import Config, labels_match
from controlplane.translate.view import View
from lugsail.api.envoy_filter import EnvoyConfigObjectMatch, EnvoyConfigObjectPatch, EnvoyFilterSpec

INBOUND = "SIDECAR_INBOUND"
OUTBOUND = "SIDECAR_OUTBOUND"
GATEWAY = "GATEWAY"

_EVERYTHING = EnvoyConfigObjectMatch()


@dataclass(frozen=True, eq=False, slots=True)
class Patch:
    """One configPatches[] entry of a filter that applies to the proxy."""

    config: Config[EnvoyFilterSpec]
    index: int
    spec: EnvoyConfigObjectPatch

    @property
    def match(self) -> EnvoyConfigObjectMatch:
        return self.spec.match or _EVERYTHING

    @property
    def operation(self) -> str:
        return self.spec.patch.operation if self.spec.patch is not None else "INVALID"

    @property
    def value(self) -> dict[str, object]:
        return dict(self.spec.patch.value or {}) if self.spec.patch is not None else {}

    def in_context(self, context: str) -> bool:
        """Whether it is for this part of the configuration."""
        return self.match.context in ("ANY", context)

    @property
    def path(self) -> str:
        return f"configPatches[{self.index}]"


def patches_for(view: View) -> tuple[Patch, ...]:
    """The patches for a proxy in the order in which they are applied: the root namespace's first, then by priority."""
    filters = tuple(c for c in view.snapshot.envoy_filters if _selects(c, view))
    if not filters:
        return ()
    root = view.mesh.root_namespace
    ordered = sorted(filters, key=lambda config: config.namespace != root)
    key = ("envoy-filters", tuple(ordered), view.proxy.metadata)
    return view.memo.get(key, lambda: _patches(ordered, dict(view.proxy.metadata)))


def _selects(config: Config[EnvoyFilterSpec], view: View) -> bool:
    if config.namespace not in (view.proxy.namespace, view.mesh.root_namespace) or config.spec.target_refs:
        return False
    selector = config.spec.workload_selector
    return selector is None or labels_match(selector.labels, view.proxy.label_map)


def _patches(configs: Iterable[Config[EnvoyFilterSpec]], metadata: dict[str, str]) -> tuple[Patch, ...]:
    found = (
        Patch(config, index, spec)
        for config in configs
        for index, spec in enumerate(config.spec.config_patches)
    )
    return tuple(patch for patch in found if _fits_proxy(patch, metadata))


def _fits_proxy(patch: Patch, metadata: dict[str, str]) -> bool:
    proxy = patch.match.proxy
    if proxy is None:
        return True
    if proxy.proxy_version and not re2.search(proxy.proxy_version, metadata.get("ISTIO_VERSION", "")):
        return False
    return all(metadata.get(key) == value for key, value in proxy.metadata.items())
