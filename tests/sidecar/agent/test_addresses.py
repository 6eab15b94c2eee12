import pytest

from sidecar.agent.addresses import NoAddress, default_interface, pod_address

HEAD = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n"
DEFAULT = "{}\t00000000\t010011AC\t{}\t0\t0\t{}\t00000000\t0\t0\t0\n"
LOCAL = "eth0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n"


@pytest.mark.parametrize(
    ("routes", "interface"),
    [
        (HEAD, ""),
        (HEAD + LOCAL, ""),
        (HEAD + LOCAL + DEFAULT.format("eth0", "0003", 0), "eth0"),
        (HEAD + DEFAULT.format("eth1", "0003", 100) + DEFAULT.format("eth0", "0003", 50), "eth0"),
        (HEAD + DEFAULT.format("eth1", "0002", 0) + DEFAULT.format("eth0", "0003", 50), "eth0"),
    ],
)
def test_the_default_routes_interface(routes: str, interface: str) -> None:
    assert default_interface(routes) == interface


def test_without_a_default_route_any_interface_but_lo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sidecar.agent.addresses.default_interface", lambda routes: "")
    names = [(1, "lo"), (2, "eth0"), (3, "eth1")]
    monkeypatch.setattr("sidecar.agent.addresses.socket.if_nameindex", lambda: names)
    known = {"lo": "127.0.0.1", "eth1": "10.0.0.2"}
    monkeypatch.setattr("sidecar.agent.addresses._address_of", lambda name: known.get(name, ""))
    assert pod_address() == "10.0.0.2"
    del known["eth1"]
    with pytest.raises(NoAddress, match=r"no interface has an IPv4 address .*eth0, eth1"):
        pod_address()
