"""The command: its flags without privileges, its effect in a network namespace of its own."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sidecar.agent.interception import find_iptables, main, parse_request, resolvers_in_pod
from sidecar.agent.iptables_rules import Capture, apply_text
from sidecar.agent.resolv_conf import ResolvConf

REPO = pathlib.Path(__file__).parents[3]
NAMESPACE = f"lsag-unit-{os.getpid()}"


def test_defaults_are_istios() -> None:
    request = parse_request([])
    assert request.capture == Capture()
    assert not request.dry_run and not request.clean


def test_every_flag() -> None:
    short = ["-p", "1", "-z", "2", "-u", "3,4", "-g", "5", "-m", "REDIRECT", "-i", "10.1.2.3/8",
             "-x", "fd00::/8,10.2.0.0/16",
             "-b", "80, 81,80", "-d", "", "-q", "6", "-o", "7", "-c", "eth1", "--redirect-dns"]  # fmt: skip
    assert parse_request(short).capture == Capture(
        outbound_port=1,
        inbound_port=2,
        proxy_uids=(3, 4),
        proxy_gids=(5,),
        outbound_ranges=("10.0.0.0/8",),
        excluded_outbound_ranges=("10.2.0.0/16",),
        inbound_ports=(80, 81),
        excluded_inbound_ports=(),
        outbound_ports=(6,),
        excluded_outbound_ports=(7,),
        excluded_interfaces=("eth1",),
        dns=True,
    )


@pytest.mark.parametrize(
    ("wrong", "complaint"),
    [
        (["-b", "0"], "-b/--istio-inbound-ports: '0' is not a port from 1 to 65535"),
        (["-d", "15020,65536"], "-d/--istio-local-exclude-ports: '65536' is not a port"),
        (["-o", "80 -j ACCEPT"], "-o/--istio-local-outbound-ports-exclude: '80 -j ACCEPT' is not a port"),
        (["-q", "http"], "-q/--istio-outbound-ports: 'http' is not a port"),
        (["-i", "10.0.0.0/33"], "-i/--istio-service-cidr: '10.0.0.0/33' is not a range of addresses such as"),
        (["-i", "fd00::/8"], "-i/--istio-service-cidr: 'fd00::/8': IPv6 is not captured"),
        (["-x", "*"], "-x/--istio-service-exclude-cidr: '*' would exclude everything"),
        (["-c", "eth0\n-A OUTPUT"], "-c/--istio-exclude-interfaces"),
        (["-u", "proxy"], "-u/--proxy-uid: 'proxy' is not the number of a user"),
        (["-m", "TPROXY"], "-m/--istio-inbound-interception-mode: invalid choice: 'TPROXY'"),
    ],
)
def test_what_is_wrong_is_named(wrong: list[str], complaint: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_request(wrong)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.parametrize(
    ("nameservers", "expected"),
    [
        (["127.0.0.11"], ("127.0.0.11/32",)),
        (["10.0.0.10"], ()),
        (["127.0.0.11", "10.0.0.10"], ()),
        (["fe80::1%eth0"], ()),
    ],
)
def test_a_resolver_in_the_pod_is_told_apart(nameservers: list[str], expected: tuple[str, ...]) -> None:
    """What Docker's own resolver asks of others leaves the pod by port 53 too, and must not come back to us."""
    assert resolvers_in_pod(ResolvConf(tuple((each, 53) for each in nameservers))) == expected


def test_a_dry_run_prints_and_does_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    elsewhere = ResolvConf((("10.0.0.10", 53),))
    monkeypatch.setattr("sidecar.agent.interception.read_resolv_conf", lambda: elsewhere)
    monkeypatch.setattr("sidecar.agent.interception._run", lambda *_: pytest.fail("something was run"))
    assert main(["--dry-run", "--redirect-dns"]) == 0
    assert capsys.readouterr().out == apply_text(Capture(dns=True))


def test_without_iptables_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sidecar.agent.interception.shutil.which", lambda name: None)
    monkeypatch.setattr("sidecar.agent.interception._has_net_admin", lambda: True)
    assert main([]) == 1
    assert "install the package iptables" in capsys.readouterr().err


def test_without_privileges_it_says_cap_add() -> None:
    if shutil.which("setpriv") is None or os.geteuid() != 0:
        pytest.skip("needs root and setpriv, to give privileges up")
    done = subprocess.run(
        ["setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-all", sys.executable, "-m",
         "sidecar.agent.interception"],
        cwd=REPO, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "cap_add: [NET_ADMIN]" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(params=["iptables-nft", "iptables-legacy"])
def variant(request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace in which Docker has written its rules by this variant."""
    name = request.param
    if os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("network namespaces need root and iproute2")
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    if subprocess.run(["ip", "netns", "add", NAMESPACE], capture_output=True).returncode:
        pytest.skip("no network namespaces here")
    try:
        for rule in (
            "-N DOCKER_OUTPUT",
            "-A OUTPUT -d 127.0.0.11/32 -j DOCKER_OUTPUT",
            "-A DOCKER_OUTPUT -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:4444",
        ):
            inside(name, "-t", "nat", *rule.split())
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", NAMESPACE])


def inside(*command: str, check: bool = True) -> str:
    done = subprocess.run(["ip", "netns", "exec", NAMESPACE, *command], cwd=REPO, capture_output=True, text=True)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def intercept(*options: str, check: bool = True) -> str:
    return inside(sys.executable, "-m", "sidecar.agent.interception", *options, check=check)


def held(variant: str) -> list[str]:
    return [line for line in inside(f"{variant}-save").splitlines() if line.startswith("-A ")]


@pytest.mark.e2e
def test_applied_twice_and_cleaned(variant: str) -> None:
    before = held(variant)
    intercept("--redirect-dns", "-c", "eth1")
    once = held(variant)
    output = [rule for rule in once if rule.startswith("-A OUTPUT ") and "DNS" not in rule]
    assert [rule.rsplit(" ", 1)[1] for rule in output] == ["ISTIO_OUTPUT", "DOCKER_OUTPUT"], "ours first"
    intercept("--redirect-dns", "-c", "eth1")
    assert held(variant) == once
    intercept()
    assert not [rule for rule in held(variant) if "ISTIO_OUTPUT_DNS" in rule], "other options, other rules"
    intercept("--clean")
    assert held(variant) == before
    assert "ISTIO" not in inside(f"{variant}-save"), "no empty chains either"
    assert "no rules of ours" in intercept("--clean")


@pytest.mark.e2e
def test_refused_rules_leave_nothing(variant: str) -> None:
    before = held(variant)
    # The raw table is written first and the nat table refused: REDIRECT takes no port 0, which no flag lets through.
    code = (
        "import sys; from sidecar.agent import interception as i; from sidecar.agent.iptables_rules import Capture\n"
        "try: i._apply(i.find_iptables(), Capture(dns=True, inbound_ports=(70000,)))\n"
        "except i.InterceptionError as e: sys.exit(str(e))"
    )
    said = inside(sys.executable, "-c", code, check=False)
    assert "refused, and none is in force" in said
    assert held(variant) == before


def test_the_iptables_of_this_machine_is_found() -> None:
    if os.geteuid() != 0 or shutil.which("iptables-restore") is None:
        pytest.skip("needs root and iptables")
    assert find_iptables().name.startswith("iptables")
