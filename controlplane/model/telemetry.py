"""What one proxy traces and logs: Telemetry resources of the mesh, its namespace and itself, merged.

The order is Istio's: the root namespace's resource without a selector, the namespace's, then the one whose selector
fits the workload. What a later one leaves unset it takes from those before; a field it sets replaces theirs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from controlplane.model.config import Config, labels_match
from controlplane.model.mesh_config import BUILT_IN_LOG, MeshConfig, Provider
from controlplane.model.proxy import Proxy
from lugsail.api.telemetry import AccessLogging, CustomTag, TelemetrySpec, Tracing

CLIENT, SERVER = "CLIENT", "SERVER"


@dataclass(frozen=True, slots=True)
class TracingSettings:
    """How one side traces. `provider` None: it does not. `sampling` in percent."""

    provider: Provider | None
    sampling: float
    disabled: bool = False
    custom_tags: tuple[tuple[str, CustomTag], ...] = ()
    istio_tags: bool = True
    use_request_id: bool = True

    @property
    def is_on(self) -> bool:
        """Whether spans are made at all."""
        return self.provider is not None and not self.disabled


@dataclass(frozen=True, slots=True)
class LogSettings:
    """One access log. `provider` None: the mesh config's own; `filter`: a CEL expression, "" for every request."""

    provider: Provider | None
    filter: str = ""


@dataclass(frozen=True, slots=True)
class ProxyTelemetry:
    """Both sides of one proxy: CLIENT for requests that leave its workload, SERVER for those that come in."""

    client_tracing: TracingSettings
    server_tracing: TracingSettings
    client_logs: tuple[LogSettings, ...]
    server_logs: tuple[LogSettings, ...]
    problems: tuple[tuple[Config[TelemetrySpec], str], ...] = ()


def applicable(
    telemetries: Iterable[Config[TelemetrySpec]], proxy: Proxy, root_namespace: str
) -> tuple[Config[TelemetrySpec], ...]:
    """The resources that count for a proxy, the widest first; of several of one kind the oldest."""
    levels: dict[int, Config[TelemetrySpec]] = {}
    for config in telemetries:
        spec = config.spec
        if spec.target_ref is not None or spec.target_refs:
            continue
        if spec.selector is None or not spec.selector.match_labels:
            level = 1 if config.namespace == proxy.namespace else 0
            if config.namespace not in (root_namespace, proxy.namespace):
                continue
            if config.namespace == root_namespace:
                level = 0
        elif config.namespace == proxy.namespace and labels_match(spec.selector.match_labels, proxy.label_map):
            level = 2
        else:
            continue
        levels.setdefault(level, config)
    return tuple(levels[level] for level in sorted(levels))


def proxy_telemetry(mesh: MeshConfig, configs: Sequence[Config[TelemetrySpec]]) -> ProxyTelemetry:
    """The merged settings of resources in the order that `applicable` gives."""
    problems: list[tuple[Config[TelemetrySpec], str]] = []
    for config in configs:
        for name in _named_providers(config.spec):
            if mesh.provider(name) is None and name not in (BUILT_IN_LOG, "prometheus"):
                known = ", ".join([*(provider.name for provider in mesh.providers), BUILT_IN_LOG, "prometheus"])
                problems.append((config, f"the mesh config has no provider {name!r} (it has {known})"))
    return ProxyTelemetry(
        client_tracing=_tracing(mesh, configs, CLIENT),
        server_tracing=_tracing(mesh, configs, SERVER),
        client_logs=_logs(mesh, configs, CLIENT),
        server_logs=_logs(mesh, configs, SERVER),
        problems=tuple(problems),
    )


def _named_providers(spec: TelemetrySpec) -> list[str]:
    lists = [element.providers for element in spec.tracing]
    lists += [element.providers for element in spec.metrics]
    lists += [element.providers for element in spec.access_logging]
    return [provider.name for providers in lists for provider in providers]


def _applies(mode: str, side: str) -> bool:
    return mode in ("CLIENT_AND_SERVER", side)


def _tracing(mesh: MeshConfig, configs: Sequence[Config[TelemetrySpec]], side: str) -> TracingSettings:
    provider = mesh.provider(mesh.default_tracing[0]) if mesh.default_tracing else None
    settings = TracingSettings(provider, mesh.tracing_sampling)
    for config in configs:
        for element in config.spec.tracing:
            if element.match is None or _applies(element.match.mode, side):
                settings = _with_tracing(mesh, settings, element)
    return settings


def _with_tracing(mesh: MeshConfig, settings: TracingSettings, element: Tracing) -> TracingSettings:
    if element.providers:
        settings = replace(settings, provider=mesh.provider(element.providers[0].name))
    if element.random_sampling_percentage is not None:
        settings = replace(settings, sampling=element.random_sampling_percentage)
    if element.disable_span_reporting is not None:
        settings = replace(settings, disabled=element.disable_span_reporting)
    if element.custom_tags:
        settings = replace(settings, custom_tags=tuple(sorted(element.custom_tags.items())))
    if element.enable_istio_tags is not None:
        settings = replace(settings, istio_tags=element.enable_istio_tags)
    if element.use_request_id_for_trace_sampling is not None:
        settings = replace(settings, use_request_id=element.use_request_id_for_trace_sampling)
    return settings


def _logs(mesh: MeshConfig, configs: Sequence[Config[TelemetrySpec]], side: str) -> tuple[LogSettings, ...]:
    """By provider name; a resource that names providers replaces those before it."""
    found = {name: LogSettings(mesh.provider(name)) for name in mesh.access_log_providers}
    names = tuple(found)
    for config in configs:
        elements = [e for e in config.spec.access_logging if e.match is None or _applies(e.match.mode, side)]
        if any(element.providers for element in elements):
            names = tuple(dict.fromkeys(p.name for element in elements for p in element.providers))
            found = {name: settings for name, settings in found.items() if name in names}
        for element in elements:
            _apply_logging(mesh, found, element, names)
    return tuple(found[name] for name in names if name in found)


def _apply_logging(
    mesh: MeshConfig, found: dict[str, LogSettings], element: AccessLogging, names: tuple[str, ...]
) -> None:
    for name in tuple(provider.name for provider in element.providers) or names:
        provider = mesh.provider(name)
        if element.disabled:
            found.pop(name, None)
        elif provider is not None or name == BUILT_IN_LOG:
            found[name] = LogSettings(provider, element.filter.expression if element.filter is not None else "")
