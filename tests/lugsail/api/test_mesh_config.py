import pytest

from lugsail.api.errors import DocumentError, InvalidResource
from lugsail.api.mesh_config import MeshConfigSpec, kind_of, load_mesh_config

WHOLE = """
accessLogFile: /dev/stdout
accessLogEncoding: JSON
ingressService: gateway
defaultConfig: {discoveryAddress: istiod:15012, tracing: {sampling: 100}}
extensionProviders:
- name: tracing
  zipkin: {service: tracing.istio-system.svc.cluster.local, port: 9411, enable64bitTraceId: true}
- name: als
  envoyHttpAls: {service: metrics.istio-system.svc.cluster.local, port: 9091}
defaultProviders: {tracing: [tracing], metrics: [prometheus]}
"""


def test_a_file_is_read_and_what_has_no_effect_is_named() -> None:
    loaded = load_mesh_config(WHOLE, "mesh.yaml")
    assert loaded.spec.access_log_encoding == "JSON"
    assert [kind_of(provider) for provider in loaded.spec.extension_providers] == ["zipkin", "envoyHttpAls"]
    assert loaded.spec.extension_providers[0].zipkin.enable_64bit_trace_id is True
    assert loaded.spec.default_config.tracing.sampling == 100
    assert [warning.path for warning in loaded.warnings] == ["ingressService", "defaultConfig.discoveryAddress"]


def test_a_config_map_holds_it_as_text() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata:\n  mesh: |-\n    enableTracing: true\n"
    assert load_mesh_config(text, "cm.yaml").spec.enable_tracing is True


def test_an_empty_file_is_istios_defaults() -> None:
    assert load_mesh_config("", "mesh.yaml").spec == MeshConfigSpec()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("accessLogFile: 3", "accessLogFile: must be text, not the number 3"),
        ("[1]", "must be a mapping"),
        ("extensionProviders: [{name: a, zipkin: {service: b}}]", "extensionProviders[0].zipkin.port: is required"),
        ("extensionProviders: [{name: a}]", "extensionProviders[0]: is of no kind"),
        ("extensionProviders: [{name: a, prometheus: {}}, {name: a, prometheus: {}}]", "'a' is there twice"),
        ("extensionProviders: [{name: a, prometheus: {}, lightstep: {}}]", "is of 2 kinds (prometheus, lightstep)"),
        ("defaultProviders: {tracing: [x]}", "there is no provider 'x'; there are envoy, prometheus"),
        ("defaultConfig: {tracing: {sampling: 101}}", "101 is not a percentage"),
        ("kind: ConfigMap\ndata: {}", "data.mesh: is required"),
    ],
)
def test_mistakes_name_the_file_and_the_field(text: str, expected: str) -> None:
    with pytest.raises(InvalidResource) as caught:
        load_mesh_config(text, "mesh.yaml")
    assert "mesh.yaml" in str(caught.value) and expected in str(caught.value)


def test_two_documents_are_one_too_many() -> None:
    with pytest.raises(DocumentError, match="second document"):
        load_mesh_config("enableTracing: true\n---\nenableTracing: false\n", "mesh.yaml")
