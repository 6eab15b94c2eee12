"""What annotations ask for, and the command lines that follow."""

import pytest

from controlplane.injector.settings import (
    BadAnnotation,
    InjectionSettings,
    proxy_arguments,
    workload_labels,
)

WHERE = "app.yaml: services.reviews-v1.labels"
TRAFFIC = "traffic.sidecar.istio.io/"


def settings_of(annotations: dict[str, str], **defaults: object) -> InjectionSettings:
    return InjectionSettings.from_annotations(annotations, WHERE, **defaults)


def arguments_of(settings: InjectionSettings) -> dict[str, str]:
    """Flag → value of an init command line."""
    words = [word for word in settings.init_arguments() if word != "--redirect-dns"]
    return dict(zip(words[::2], words[1::2], strict=True))


def test_without_annotations_everything_is_captured() -> None:
    settings = settings_of({"app": "reviews"})
    assert settings == InjectionSettings()
    assert arguments_of(settings) == {
        "-p": "15001",
        "-z": "15006",
        "-u": "1337",
        "-g": "1337",
        "-m": "REDIRECT",
        "-i": "*",
        "-x": "",
        "-b": "*",
        "-d": "15090,15021,15020",
    }
    assert settings.init_arguments()[-1] == "--redirect-dns"


def test_every_traffic_annotation_reaches_the_init_container() -> None:
    settings = settings_of(
        {
            f"{TRAFFIC}includeInboundPorts": "9080, 9443",
            f"{TRAFFIC}excludeInboundPorts": "22,15020,22",
            f"{TRAFFIC}includeOutboundIPRanges": "10.1.2.3/8, 172.16.0.0/12",
            f"{TRAFFIC}excludeOutboundIPRanges": "10.96.0.0/16",
            f"{TRAFFIC}includeOutboundPorts": "443",
            f"{TRAFFIC}excludeOutboundPorts": "3306,27017",
            f"{TRAFFIC}excludeInterfaces": "docker0,net+",
            "proxy.istio.io/config": 'proxyMetadata: {ISTIO_META_DNS_CAPTURE: "false"}',
        }
    )
    arguments = arguments_of(settings)
    assert arguments["-b"] == "9080,9443"
    assert arguments["-d"] == "15090,15021,15020,22"
    assert arguments["-i"] == "10.0.0.0/8,172.16.0.0/12"
    assert arguments["-x"] == "10.96.0.0/16"
    assert arguments["-q"] == "443"
    assert arguments["-o"] == "3306,27017"
    assert arguments["-c"] == "docker0,net+"
    assert "--redirect-dns" not in settings.init_arguments()


def test_empty_includes_capture_nothing() -> None:
    arguments = arguments_of(
        settings_of({f"{TRAFFIC}includeInboundPorts": "", f"{TRAFFIC}includeOutboundIPRanges": ""})
    )
    assert (arguments["-b"], arguments["-i"]) == ("", "")


def test_no_interception_needs_no_init_container() -> None:
    settings = settings_of({"sidecar.istio.io/interceptionMode": "none"})
    assert not settings.needs_init
    assert settings.init_arguments() == []


def test_annotations_go_before_proxy_config_and_both_before_defaults() -> None:
    config = "interceptionMode: NONE\nconcurrency: 3\nholdApplicationUntilProxyStarts: true"
    both = settings_of(
        {"proxy.istio.io/config": config, "sidecar.istio.io/interceptionMode": "REDIRECT"}, concurrency=2
    )
    assert (both.interception, both.concurrency, both.hold_application_until_proxy_starts) == ("REDIRECT", 3, True)
    assert settings_of({}, concurrency=2, dns_capture=False).concurrency == 2


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({}, None),
        ({"sidecar.istio.io/inject": "true"}, True),
        ({"sidecar.istio.io/inject": "False"}, False),
        ({"lugsail.io/inject": "true"}, True),
        ({"lugsail.io/inject": "true", "sidecar.istio.io/inject": "no"}, False),
        ({"sidecar.istio.io/inject": ""}, None),
    ],
)
def test_inject_switch(labels: dict[str, str], expected: bool | None) -> None:
    assert settings_of(labels).inject is expected


@pytest.mark.parametrize(
    ("annotation", "value", "hint"),
    [
        ("sidecar.istio.io/inject", "maybe", 'expected "true" or "false"'),
        (f"{TRAFFIC}excludeInboundPorts", "80,http", "'http' is not a port from 1 to 65535; write ports separated"),
        (f"{TRAFFIC}excludeInboundPorts", "*", "'*' is not a port"),
        (f"{TRAFFIC}includeInboundPorts", "65536", "write * for all, or ports such as 80,8080"),
        (f"{TRAFFIC}excludeOutboundPorts", "٣", "is not a port"),
        (f"{TRAFFIC}includeOutboundIPRanges", "10.0.0.0/33", "'10.0.0.0/33' is not a network; write * for all"),
        (f"{TRAFFIC}includeOutboundIPRanges", "fd00::/8", "IPv6 is not captured; write IPv4 networks"),
        (f"{TRAFFIC}excludeOutboundIPRanges", "10.0.0.1", "has no prefix length; write 10.0.0.1/32"),
        (f"{TRAFFIC}excludeInterfaces", "eth 0", "'eth 0' is not a network interface"),
        ("sidecar.istio.io/interceptionMode", "TPROXY", "choose REDIRECT or NONE"),
        ("sidecar.istio.io/logLevel", "loud", "choose trace, debug, info"),
        ("sidecar.istio.io/proxyImage", "a b", "expected an image such as lugsail/planes:latest"),
        ("sidecar.istio.io/proxyCPU", "fast", "expected a Kubernetes quantity"),
        ("sidecar.istio.io/rewriteAppHTTPProbers", "1", 'expected "true" or "false"'),
        ("lugsail.io/proxy", "nginx", "choose python or envoy"),
        ("proxy.istio.io/config", "concurrency: [", "not YAML"),
        ("proxy.istio.io/config", "just text", "expected a mapping of ProxyConfig fields"),
    ],
)
def test_a_bad_value_names_place_annotation_and_remedy(annotation: str, value: str, hint: str) -> None:
    with pytest.raises(BadAnnotation) as caught:
        settings_of({annotation: value})
    assert str(caught.value).startswith(f"{WHERE}: {annotation}: ")
    assert hint in str(caught.value)
    assert (caught.value.where, caught.value.annotation) == (WHERE, annotation)


def test_unknown_annotations_of_istio_are_warned_about_with_the_nearest_name() -> None:
    settings = settings_of(
        {f"{TRAFFIC}excludeInboundPort": "80", "sidecar.istio.io/bootstrapOverride": "x", "app": "a"}
    )
    assert settings.warnings == (
        f"{WHERE}: {TRAFFIC}excludeInboundPort has no effect here; did you mean {TRAFFIC}excludeInboundPorts?",
        f"{WHERE}: sidecar.istio.io/bootstrapOverride has no effect here",
    )


def test_log_levels_of_envoy_become_ours() -> None:
    assert settings_of({"sidecar.istio.io/logLevel": "trace"}).log_level == "debug"
    assert settings_of({"sidecar.istio.io/logLevel": "critical"}).log_level == "error"


def test_proxy_command_line() -> None:
    settings = InjectionSettings(proxy="envoy", concurrency=2, log_level="debug")
    arguments = proxy_arguments(
        settings,
        workload="reviews-v1",
        namespace="shop",
        labels={"app": "reviews", "version": "v1"},
        service_account="bookinfo-reviews",
        discovery="control-plane:15010",
    )
    expected = (
        "--workload reviews-v1 --namespace shop --ip auto --labels app=reviews,version=v1 "
        "--service-account bookinfo-reviews --discovery control-plane:15010 --proxy envoy --interception REDIRECT "
        "--dns-capture --concurrency 2 --log-level debug --state-dir /tmp/lugsail"
    )
    assert arguments == expected.split()


def test_proxy_without_interception_or_labels() -> None:
    settings = InjectionSettings(interception="NONE")
    words = proxy_arguments(
        settings, workload="w", namespace="n", labels={}, service_account="default", discovery="10.0.0.1:15010"
    )
    assert "--labels" not in words
    assert "--dns-capture" not in words
    assert words[words.index("--interception") + 1] == "NONE"


def test_workload_labels_are_those_that_describe_the_workload() -> None:
    labels = {
        "app": "reviews",
        "version": "v1",
        "team.example.com/name": "books",
        "com.docker.compose.project": "bookinfo",
        "lugsail.io/ports": "http:9080",
        "org.opencontainers.image.title": "apps",
        "sidecar.istio.io/inject": "true",
        "proxy.istio.io/config": "{}",
        "istio-injection": "enabled",
        f"{TRAFFIC}excludeInboundPorts": "1",
        "hosts": "a,b",
    }
    assert workload_labels(labels) == {"app": "reviews", "version": "v1", "team.example.com/name": "books"}
