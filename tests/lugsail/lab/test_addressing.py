import pytest

from lugsail.lab.addressing import MAX_PODS, BadSubnet, Subnet


def test_addresses_of_a_pod() -> None:
    subnet = Subnet.parse("127.20")
    assert subnet.control_plane_ip == "127.20.0.1"
    assert subnet.control_plane_url == "http://127.20.0.1:8080"
    assert subnet.discovery == "127.20.0.1:15010"
    assert (subnet.pod_ip(7), subnet.outbound_ip(7)) == ("127.20.7.1", "127.20.7.2")
    assert subnet.service_ip(3) == "127.20.255.3"


@pytest.mark.parametrize("text", ["10.0", "127", "127.0", "127.255", "127.20.1", "127.x", ""])
def test_other_subnets_are_refused(text: str) -> None:
    with pytest.raises(BadSubnet, match="first two octets"):
        Subnet.parse(text)


def test_private_ports_differ_between_pods_and_subnets() -> None:
    ports = {Subnet(f"127.{s}").preferred_app_port(n) for s in range(1, 255) for n in range(1, MAX_PODS + 1)}
    assert len(ports) == 254 * MAX_PODS
    assert max(ports) < 65536


@pytest.mark.parametrize("n", [0, -1, MAX_PODS + 1])
def test_pod_numbers_have_bounds(n: int) -> None:
    with pytest.raises(ValueError, match="pod number"):
        Subnet("127.20").pod_ip(n)
