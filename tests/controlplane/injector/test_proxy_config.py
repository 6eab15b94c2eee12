"""proxy.istio.io/config: what is acted on, what is warned about, what is wrong."""

import pytest

from controlplane.injector.annotations import BadAnnotation
from controlplane.injector.proxy_config import ProxyConfig, parse_proxy_config


def test_everything_that_is_acted_on() -> None:
    text = """
    holdApplicationUntilProxyStarts: true
    concurrency: 2
    interceptionMode: REDIRECT
    proxyMetadata:
      ISTIO_META_DNS_CAPTURE: "true"
      ISTIO_META_DNS_AUTO_ALLOCATE: "true"
    """
    assert parse_proxy_config(text, "w") == ProxyConfig(True, 2, "REDIRECT", True)


def test_nothing_and_json() -> None:
    assert parse_proxy_config("", "w") == ProxyConfig()
    assert parse_proxy_config('{"concurrency": 4}', "w").concurrency == 4


def test_fields_of_istio_without_effect_are_warned_about() -> None:
    config = parse_proxy_config("drainDuration: 5s\nproxyMetadata: {FOO: bar}", "w")
    assert config.warnings == (
        "w: proxy.istio.io/config: drainDuration has no effect here",
        "w: proxy.istio.io/config: proxyMetadata.FOO has no effect here",
    )


def test_a_thread_for_each_core_is_one_with_a_warning() -> None:
    config = parse_proxy_config("concurrency: 0", "w")
    assert config.concurrency is None
    assert "write the number" in config.warnings[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("holdApplicationUntilProxyStart: true", "did you mean holdApplicationUntilProxyStarts?"),
        ("surprise: 1", "there is no such field; known are holdApplicationUntilProxyStarts"),
        ("holdApplicationUntilProxyStarts: 1", "holdApplicationUntilProxyStarts: 1: expected true or false"),
        ("concurrency: two", "concurrency: 'two': expected a whole number from 1 to 64"),
        ("concurrency: true", "expected a whole number"),
        ("concurrency: -1", "expected a whole number"),
        ("interceptionMode: TPROXY", "choose REDIRECT or NONE"),
        ("proxyMetadata: [a]", "proxyMetadata: ['a']: expected a mapping"),
        ("proxyMetadata: {ISTIO_META_DNS_CAPTURE: maybe}", "proxyMetadata.ISTIO_META_DNS_CAPTURE: 'maybe'"),
        ("proxyMetadata: {A: {B: 1}}", "proxyMetadata.A: {'B': 1}: expected text"),
        ("a: 1\na: 2", "the key 'a' is there twice"),
        ("--- {}\n--- {}", "expected a mapping"),
    ],
)
def test_what_is_wrong_is_named_with_its_path(text: str, message: str) -> None:
    with pytest.raises(BadAnnotation) as caught:
        parse_proxy_config(text, "pod shop/reviews")
    assert str(caught.value).startswith("pod shop/reviews: proxy.istio.io/config")
    assert message in str(caught.value)
