from typing import Any

from controlplane.model.config import Config
from controlplane.model.mesh_config import MeshConfig, mesh_config_of
from controlplane.model.proxy import Proxy
from controlplane.model.telemetry import ProxyTelemetry, applicable, proxy_telemetry
from lugsail.api.load import load_resource
from lugsail.api.mesh_config import load_mesh_config
from tests.lugsail.api.helpers import resource

PROXY = Proxy("sidecar", "a-v1", "default", ("10.0.0.1",), labels=(("app", "a"),))
PROVIDERS = """
accessLogFile: /dev/stdout
extensionProviders:
- {name: zipkin, zipkin: {service: z, port: 9411}}
- {name: otel, opentelemetry: {service: o, port: 4317}}
- {name: file, envoyFileAccessLog: {path: /dev/stderr}}
defaultProviders: {tracing: [zipkin]}
"""


def mesh(text: str = PROVIDERS) -> MeshConfig:
    return mesh_config_of(load_mesh_config(text, "mesh.yaml").spec)


def telemetry(name: str, namespace: str, spec: str, created: str = "") -> Config[Any]:
    loaded = load_resource(resource("Telemetry", spec, name, namespace))
    return Config(loaded.key, created, loaded.spec, loaded)


def merged(*configs: Config[Any], config: MeshConfig | None = None) -> ProxyTelemetry:
    return proxy_telemetry(config or mesh(), applicable(configs, PROXY, "istio-system"))


def providers(logs: tuple[Any, ...]) -> list[str]:
    return [log.provider.name if log.provider is not None else "envoy" for log in logs]


def test_the_widest_comes_first_and_of_equals_the_oldest() -> None:
    wide = telemetry("mesh", "istio-system", "{}")
    older = telemetry("older", "default", "{}")
    younger = telemetry("younger", "default", "{}")
    own = telemetry("own", "default", "selector: {matchLabels: {app: a}}")
    others = telemetry("others", "default", "selector: {matchLabels: {app: b}}")
    foreign = telemetry("foreign", "elsewhere", "{}")
    found = applicable((own, others, wide, older, younger, foreign), PROXY, "istio-system")
    assert [config.name for config in found] == ["mesh", "older", "own"]


def test_without_resources_the_mesh_config_counts() -> None:
    found = merged()
    assert found.client_tracing.provider.name == "zipkin" and found.client_tracing.is_on
    assert providers(found.client_logs) == providers(found.server_logs) == ["envoy"]
    assert not merged(config=MeshConfig()).client_tracing.is_on


def test_a_narrower_resource_replaces_the_fields_that_it_sets() -> None:
    found = merged(
        telemetry("mesh", "istio-system", "tracing: [{providers: [{name: otel}], randomSamplingPercentage: 10}]"),
        telemetry("own", "default", "selector: {matchLabels: {app: a}}\ntracing: [{randomSamplingPercentage: 0}]"),
    )
    assert (found.client_tracing.provider.name, found.client_tracing.sampling) == ("otel", 0)


def test_one_side_alone() -> None:
    found = merged(telemetry("t", "default", "tracing: [{match: {mode: SERVER}, disableSpanReporting: true}]"))
    assert found.client_tracing.is_on and not found.server_tracing.is_on


def test_logs_are_switched_off_and_moved_elsewhere() -> None:
    assert merged(telemetry("t", "default", "accessLogging: [{disabled: true}]")).client_logs == ()
    found = merged(telemetry("t", "default", "accessLogging: [{providers: [{name: file}], match: {mode: CLIENT}}]"))
    assert (providers(found.client_logs), providers(found.server_logs)) == (["file"], ["envoy"])
    found = merged(
        telemetry("mesh", "istio-system", "accessLogging: [{providers: [{name: file}, {name: envoy}]}]"),
        telemetry("t", "default", "accessLogging: [{providers: [{name: envoy}], filter: {expression: 'true'}}]"),
    )
    assert providers(found.client_logs) == ["envoy"] and found.client_logs[0].filter == "true"


def test_logs_without_a_log_file_go_where_a_resource_asks() -> None:
    quiet = mesh("extensionProviders: []")
    assert merged(config=quiet).client_logs == ()
    found = merged(telemetry("t", "default", "accessLogging: [{providers: [{name: envoy}]}]"), config=quiet)
    assert providers(found.client_logs) == ["envoy"]


def test_a_provider_that_is_not_there_is_told() -> None:
    found = merged(telemetry("t", "default", "tracing: [{providers: [{name: jaeger}]}]"))
    assert not found.client_tracing.is_on
    assert "no provider 'jaeger' (it has zipkin, otel, file, envoy, prometheus)" in found.problems[0][1]
