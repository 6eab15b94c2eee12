"""The injector's side of Docker's API: what it asks the Engine and what it makes there. Blocking; run it in threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import docker
from docker.errors import APIError, DockerException, ImageNotFound, NotFound

from controlplane.injector.container import ContainerSpec, Seen, World, enabled_networks, see
from controlplane.sources.docker_containers import COMPOSE_SERVICE, PROJECT, Container
from controlplane.sources.docker_self import own_container_ids

__all__ = ("DockerException", "Engine", "InjectionFailed", "connect")

INIT_LIMIT_S = 60
_LOG_LINES = 5
_EVENTS = {"type": ["container", "network"]}


class InjectionFailed(Exception):
    """One container did not get its sidecar; the text says why and what would help."""


@dataclass(frozen=True, slots=True)
class Own:
    """The control plane's own container: network id → the name, or address, that reaches it there; its project."""

    reachable: dict[str, str]
    project: str
    service: str = ""

    @property
    def identity(self) -> str:
        """What stays when Compose makes the container, or its volume, anew; empty outside of Compose."""
        return f"{self.project}.{self.service}" if self.project else ""


class Engine:
    """One connection to the Engine. Every method raises DockerException where the Engine does not answer."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def world(self) -> World:
        """Every container, inspected, and the networks that ask for sidecars."""
        found: list[Seen] = []
        for row in self._api.containers(all=True):
            try:
                found.append(see(self._api.inspect_container(row["Id"])))
            except NotFound:
                continue  # removed since the list was made
        return World(tuple(found), enabled_networks(self._api.networks()))

    def events(self) -> Iterator[Any]:
        """Changes of containers and networks from now on; has `close()`, which ends it from another thread."""
        stream: Iterator[Any] = self._api.events(decode=True, filters=_EVENTS)
        return stream

    def create(self, spec: ContainerSpec) -> str:
        """Make and start a container; its id. Raises InjectionFailed with the fix where there is one."""
        host = self._api.create_host_config(
            network_mode=spec.network_mode,
            cap_drop=["ALL"],
            cap_add=list(spec.cap_add),
            security_opt=["no-new-privileges"],
            read_only=spec.read_only,
            tmpfs=dict(spec.tmpfs),
            restart_policy={"Name": spec.restart},
        )
        try:
            made = self._api.create_container(
                spec.image,
                list(spec.command),
                name=spec.name,
                user=spec.user,
                labels=dict(spec.labels),
                host_config=host,
            )
        except ImageNotFound:
            raise InjectionFailed(f"the Engine has no image {spec.image}; build it with `make images`") from None
        except APIError as error:
            raise InjectionFailed(f"container {spec.name} could not be made: {error.explanation or error}") from None
        identity = str(made["Id"])
        try:
            self._api.start(identity)
        except APIError as error:
            self.remove(identity)
            raise InjectionFailed(f"container {spec.name} could not start: {error.explanation or error}") from None
        return identity

    def finish(self, identity: str, name: str) -> None:
        """Wait for an init container and remove it. Raises InjectionFailed, with its last words, if it failed."""
        try:
            code = self._api.wait(identity, timeout=INIT_LIMIT_S)["StatusCode"]
            said = "" if code == 0 else self._last_words(identity)
        except NotFound:
            raise InjectionFailed(f"container {name} was removed before it was done") from None
        except OSError as error:  # requests' timeout
            raise InjectionFailed(f"container {name} is not done after {INIT_LIMIT_S} s: {error}") from None
        finally:
            self.remove(identity)
        if code != 0:
            raise InjectionFailed(f"container {name} could not write the rules (exit code {code}): {said}")

    def remove(self, identity: str) -> None:
        """Remove a container, running or not; it may be gone."""
        try:
            self._api.remove_container(identity, force=True, v=True)
        except APIError as error:
            # 409: somebody else removes it at this moment.
            if error.response is None or error.response.status_code not in (404, 409):
                raise

    def own_container(self) -> Own | None:
        """The container that this process is in; None outside of containers."""
        for candidate in own_container_ids():
            try:
                data = self._api.inspect_container(candidate)
            except NotFound:
                continue
            labels = data["Config"].get("Labels") or {}
            return Own(_reachable_as(data), labels.get(PROJECT, ""), labels.get(COMPOSE_SERVICE, ""))
        return None

    def gateway(self, network: str) -> str:
        """The host's address in a network; empty where it has none."""
        for config in (self._api.inspect_network(network).get("IPAM") or {}).get("Config") or []:
            if config.get("Gateway"):
                return str(config["Gateway"])
        return ""

    def close(self) -> None:
        self._api.close()

    def _last_words(self, identity: str) -> str:
        text = self._api.logs(identity, tail=_LOG_LINES).decode("utf-8", "replace").strip()
        return " / ".join(text.splitlines()) or "it said nothing"


def connect(host: str) -> Engine:
    """To the Engine at unix:///path or tcp://host:port. Raises DockerException."""
    client = docker.APIClient(base_url=host, version="auto")
    client.trust_env = False  # http_proxy and all_proxy are not meant for a socket
    return Engine(client)


def _reachable_as(data: Any) -> dict[str, str]:
    """By network id. Docker's name server answers in networks that users made: a name outlives a restart there."""
    labels = data["Config"].get("Labels") or {}
    service = labels.get("com.docker.compose.service", "")
    found = {}
    for name, network in (data["NetworkSettings"].get("Networks") or {}).items():
        aliases = [*(network.get("Aliases") or [])]
        container = str(data["Name"]).removeprefix("/")
        best = service if service in aliases else container
        found[str(network["NetworkID"])] = str(network["IPAddress"]) if name == "bridge" else best
    return found


def address_for(app: Container, reachable: dict[str, str], port: int) -> str | None:
    """host:port of a control plane in a container, as seen from this app's networks; None: they share none."""
    for _, network, _ in app.networks:
        if network in reachable:
            return f"{reachable[network]}:{port}"
    return None
