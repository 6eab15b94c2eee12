import pytest

from tests.lugsail.api.helpers import assert_refused, error_texts


@pytest.mark.parametrize(
    "spec",
    [
        "address: 10.0.0.1\nports: {http: 8080}\nlabels: {app: a}\nlocality: us/a/b\nweight: 5",
        "address: '2001:db8::1'",
        "address: vm.example.com",
        "address: unix:///run/a.sock",
        "network: other",
    ],
)
def test_good_entries(spec: str) -> None:
    assert error_texts("WorkloadEntry", spec) == []


def test_refused_entries() -> None:
    assert_refused("WorkloadEntry", "labels: {a: b}", ("address", "is required"))
    assert_refused("WorkloadEntry", "address: a b", ("address", "neither an IP address nor a host name"))
    assert_refused(
        "WorkloadEntry",
        "address: unix://relative\nports: {http: 1}",
        ("address", "not a Unix socket"),
        ("ports", "a Unix socket has no ports"),
    )
    assert_refused(
        "WorkloadEntry",
        "address: 10.0.0.1\nports: {a.b: 0}\nlabels: {a: '*'}\nlocality: us//b",
        ('ports["a.b"]', "not a port name"),
        ('ports["a.b"]', "0 is not a port"),
        ("labels.a", "not a label value"),
        ("locality", "empty part"),
    )
