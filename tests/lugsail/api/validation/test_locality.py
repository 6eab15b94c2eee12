import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts, warning_texts

AT = "trafficPolicy.loadBalancer.localityLbSetting"


def spec(setting: str) -> str:
    return f"host: a\ntrafficPolicy: {{outlierDetection: {{}}, loadBalancer: {{localityLbSetting: {{{setting}}}}}}}"


def refused(setting: str, *expected: tuple[str, str]) -> None:
    below = ((f"{AT}{'.' if path else ''}{path}", part) for path, part in expected)
    assert_refused("DestinationRule", spec(setting), *below)


@pytest.mark.parametrize(
    "setting",
    [
        "enabled: false",
        "distribute: [{from: 'us/*', to: {us/a: 80, eu: 20}}, {from: eu, to: {eu: 100}}]",
        "failover: [{from: us, to: eu}]",
        "failoverPriority: [topology.kubernetes.io/region]",
    ],
)
def test_good_settings(setting: str) -> None:
    assert error_texts("DestinationRule", spec(setting)) == []


def test_exclusive_settings() -> None:
    refused(
        "distribute: [{from: us, to: {us: 100}}], failover: [{from: us, to: eu}]",
        ("", "distribute and failover exclude each other"),
    )
    refused(
        "failover: [{from: us, to: eu}], failoverPriority: [app, topology.istio.io/subzone]",
        ("failoverPriority[1]", "has no place beside `failover`"),
    )


def test_shares() -> None:
    refused(
        "distribute: [{from: us, to: {us: 0, eu: 101}}]",
        ("distribute[0].to.us", "0 is not a share"),
        ("distribute[0].to.eu", "101 is not a share"),
        ("distribute[0].to", "add up to 101"),
    )


@pytest.mark.parametrize(
    ("localities", "part"),
    [
        (("us", "us"), "overlaps"),
        (("us/*", "us/a"), "overlaps"),
        (("us/a/b", "us/a"), "overlaps"),
        (("*", "eu"), "overlaps"),
        (("us//b", "eu"), "empty part"),
        (("u*s", "eu"), "not at its end"),
    ],
)
def test_localities(localities: tuple[str, str], part: str) -> None:
    entries = ", ".join(f"{{from: '{locality}', to: {{x: 100}}}}" for locality in localities)
    refused(f"distribute: [{entries}]", ("distribute", part))


def test_failover_is_between_regions() -> None:
    refused(
        "failover: [{from: us, to: us}, {from: us/a, to: 'eu*'}]",
        ("failover[0]", "cannot take over from itself"),
        ("failover[1].from", "'us/a' is not a region"),
        ("failover[1].to", "'eu*' is not a region"),
    )


def test_failover_needs_outlier_detection() -> None:
    text = spec("failover: [{from: us, to: eu}]").replace("outlierDetection: {}, ", "")
    assert "nothing fails over; add outlierDetection" in warning_texts("DestinationRule", text)[0]
