from controlplane.model.mesh_config import ACCESS_LOG_FORMAT, MeshConfig, mesh_config_of
from lugsail.api.mesh_config import load_mesh_config


def read(text: str) -> MeshConfig:
    return mesh_config_of(load_mesh_config(text, "mesh.yaml").spec)


def test_an_empty_file_means_istios_defaults() -> None:
    mesh = read("")
    assert mesh.access_log_file == "" and mesh.access_log_providers == ()
    assert mesh.allow_any and mesh.tracing_sampling == 1.0 and mesh.retry_attempts == 2


def test_fields_are_taken() -> None:
    mesh = read(
        "accessLogFile: /dev/stdout\n"
        "accessLogFormat: '%PROTOCOL%'\n"
        "outboundTrafficPolicy: {mode: REGISTRY_ONLY}\n"
        "defaultConfig: {tracing: {sampling: 12.5}}\n"
        "defaultHttpRetryPolicy: {attempts: 0}\n"
        "connectTimeout: 2s\n"
        "extensionProviders: [{name: t, zipkin: {service: a, port: 9411}}]\n"
        "defaultProviders: {tracing: [t]}\n"
    )
    assert (mesh.access_log_format, mesh.access_log_providers) == ("%PROTOCOL%\n", ("envoy",))
    assert (mesh.allow_any, mesh.tracing_sampling, mesh.retry_attempts) == (False, 12.5, 0)
    assert mesh.connect_timeout_s == 2
    provider = mesh.provider("t")
    assert provider is not None and provider.kind == "zipkin"
    assert mesh.provider("u") is None


def test_the_text_format_is_istios_unless_json_is_asked_for() -> None:
    assert read("accessLogFile: /dev/stdout").access_log_format == ACCESS_LOG_FORMAT
    mesh = read("accessLogFile: /dev/stdout\naccessLogEncoding: JSON")
    assert mesh.access_log_json and mesh.access_log_format == ""
