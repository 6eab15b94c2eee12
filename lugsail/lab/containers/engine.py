"""The Docker engine: is there one, how to talk to it, and what to do where it does not answer.

The SDK is imported only when there is something to talk to: a machine without Docker pays nothing.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lugsail.lab.errors import LabError, NotRunning

if TYPE_CHECKING:
    from docker import APIClient
    from docker.tls import TLSConfig

DEFAULT_SOCKETS = ("/var/run/docker.sock", "~/.docker/run/docker.sock")
TIMEOUT_S = 60
API_VERSION = "1.41"  # Docker 20.10: the oldest that is supported


def is_present() -> bool:
    """Whether there is an address to look for an engine at; says nothing on whether it answers. Quick."""
    host = _host()
    if host is None:
        return False
    return not host.startswith("unix://") or Path(host.removeprefix("unix://")).exists()


def absent() -> str:
    return (
        "Docker is not here: there is no engine's socket. Install Docker Engine or Docker Desktop and start it, or "
        "point DOCKER_HOST at an engine."
    )


def connect() -> APIClient:
    """A client of the engine; raises NotRunning with the remedy."""
    host = _host()
    if host is None:
        raise NotRunning(absent())
    import docker
    from docker.errors import DockerException

    try:
        client = docker.APIClient(base_url=host, version=API_VERSION, timeout=TIMEOUT_S, tls=_tls(host), num_pools=16)
        client.ping()
    except (DockerException, OSError) as problem:
        raise NotRunning(explain(host, problem)) from problem
    return client


def explain(host: str, problem: BaseException) -> str:
    """What keeps the engine from answering, and the remedy."""
    causes = []
    cause: BaseException | None = problem
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    text = " ".join(str(each) for each in causes)
    if any(isinstance(each, PermissionError) for each in causes) or "Permission denied" in text:
        return (
            f"No permission to talk to Docker at {host}. Join its group (`sudo usermod -aG docker $USER`, then sign in "
            f"anew), or run this as root."
        )
    if any(isinstance(each, FileNotFoundError | ConnectionRefusedError) for each in causes) or "refused" in text:
        return (
            f"Docker does not answer at {host}: its daemon does not run. Start it (`sudo systemctl start docker`, or "
            f"Docker Desktop), or point DOCKER_HOST at an engine."
        )
    return f"Docker does not answer at {host}: {problem}"


def failure(problem: BaseException) -> LabError:
    """A request that the engine refused, as a sentence."""
    explanation = getattr(problem, "explanation", None) or str(problem)
    if isinstance(explanation, bytes):
        explanation = explanation.decode(errors="replace")
    return LabError(f"Docker: {explanation}")


def _host() -> str | None:
    """$DOCKER_HOST, the docker command's current context, or a socket that is there."""
    if chosen := os.environ.get("DOCKER_HOST"):
        return chosen
    if found := _context_host():
        return found
    for path in DEFAULT_SOCKETS:
        where = Path(path).expanduser()
        if where.exists():
            return f"unix://{where}"
    return None


def _context_host() -> str | None:
    """The endpoint of the context that `docker context use` chose (Docker Desktop, rootless, colima)."""
    folder = Path(os.environ.get("DOCKER_CONFIG", "~/.docker")).expanduser()
    try:
        name = os.environ.get("DOCKER_CONTEXT") or json.loads((folder / "config.json").read_text())["currentContext"]
        if name == "default":
            return None
        for path in (folder / "contexts" / "meta").glob("*/meta.json"):
            meta = json.loads(path.read_text())
            if meta.get("Name") == name:
                return str(meta["Endpoints"]["docker"]["Host"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return None


def _tls(host: str) -> TLSConfig | bool:
    """As the docker command: DOCKER_TLS_VERIFY and DOCKER_CERT_PATH for an engine elsewhere."""
    if not host.startswith("tcp://") or not os.environ.get("DOCKER_TLS_VERIFY"):
        return False
    from docker.tls import TLSConfig

    folder = Path(os.environ.get("DOCKER_CERT_PATH", "~/.docker")).expanduser()
    return TLSConfig(
        client_cert=(str(folder / "cert.pem"), str(folder / "key.pem")), ca_cert=str(folder / "ca.pem"), verify=True
    )
