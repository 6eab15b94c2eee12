"""From a topology and the options of `lugsail up` to pods: who gets which number, address, port and proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lugsail.lab.addressing import MAX_PODS, Subnet
from lugsail.lab.observers import DEFAULT_OBSERVERS, OBSERVERS
from lugsail.lab.paths import Home
from lugsail.lab.pod import Pod, gateway_workload
from lugsail.lab.topology import Workload

PROXIES = ("python", "envoy")
LOG_LEVELS = ("debug", "info", "warning", "error")


class BadOption(ValueError):
    """An option of `lugsail up` that cannot be; the message says what would be."""


@dataclass(frozen=True, slots=True)
class Options:
    """What `lugsail up` was asked for. `proxy_for` maps workload names to `python` or `envoy`.

    `mesh_config` is None for the one that is shipped; `observers` names what watches the mesh.
    """

    home: Home
    subnet: Subnet
    topology: Path
    gateway_port: int = 8080
    proxy: str = "python"
    proxy_for: Mapping[str, str] = field(default_factory=dict)
    keep: bool = False
    log_level: str = "info"
    mesh_config: Path | None = None
    observers: tuple[str, ...] = ()


def parse_proxy_for(items: Sequence[str]) -> dict[str, str]:
    """`["reviews-v1=envoy"]` → `{"reviews-v1": "envoy"}`; raises BadOption."""
    chosen = {}
    for item in items:
        workload, separator, proxy = item.partition("=")
        if not separator or not workload:
            raise BadOption(f"--proxy-for {item!r} is not WORKLOAD=PROXY, as in --proxy-for reviews-v1=envoy.")
        chosen[workload] = check_proxy(proxy, "--proxy-for " + workload)
    return chosen


def check_proxy(proxy: str, option: str) -> str:
    if proxy not in PROXIES:
        raise BadOption(f"{option}: {proxy!r} is not a proxy that the lab knows; choose python or envoy.")
    return proxy


def check_log_level(level: str) -> str:
    if level not in LOG_LEVELS:
        raise BadOption(f"--log-level: {level!r} is not a level; choose {', '.join(LOG_LEVELS)}.")
    return level


def choose_observers(wanted: Sequence[str], unwanted: Sequence[str]) -> tuple[str, ...]:
    """The names of what watches the mesh, from `--with` and `--without`; raises BadOption."""
    for option, names in (("--with", wanted), ("--without", unwanted)):
        for name in names:
            if name not in OBSERVERS:
                raise BadOption(f"{option} {name}: there is no such part; choose among {', '.join(OBSERVERS)}.")
    for name in wanted:
        if name in unwanted:
            raise BadOption(f"--with {name} and --without {name}: choose one.")
    return tuple(name for name in OBSERVERS if name in (*DEFAULT_OBSERVERS, *wanted) and name not in unwanted)


def place(workloads: Sequence[Workload], options: Options, choose_port: Callable[[int, set[int]], int]) -> list[Pod]:
    """The pods of the topology in its order, the ingress gateway last.

    `choose_port(preferred, taken)` gives a free private port of 127.0.0.1. Raises BadOption.
    """
    everyone = [*workloads, gateway_workload()]
    if len(everyone) > MAX_PODS:
        raise BadOption(
            f"The topology has {len(workloads)} workloads; the lab holds {MAX_PODS - 1} beside its gateway."
        )
    known = [workload.name for workload in everyone]
    for name in options.proxy_for:
        if name not in known:
            raise BadOption(f"--proxy-for {name}: there is no such workload; known are {', '.join(known)}.")
    pods: list[Pod] = []
    taken: set[int] = set()
    for number, workload in enumerate(everyone, start=1):
        pod = Pod(
            workload,
            number,
            options.subnet,
            proxy=options.proxy_for.get(workload.name, options.proxy),
            kind="router" if workload is everyone[-1] else "sidecar",
            app_ports=choose_app_ports(workload, number, options.subnet, taken, choose_port),
        )
        pods.append(pod)
    return pods


def choose_app_ports(
    workload: Workload, number: int, subnet: Subnet, taken: set[int], choose_port: Callable[[int, set[int]], int]
) -> tuple[int, ...]:
    """A private port for each port of the workload's service; adds them to `taken`."""
    ports = []
    for _ in workload.ports:
        port = choose_port(subnet.preferred_app_port(number), taken)
        taken.add(port)
        ports.append(port)
    return tuple(ports)
