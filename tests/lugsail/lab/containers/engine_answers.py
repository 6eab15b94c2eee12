"""What a Docker engine answers, as plain values: containers of a mesh, written the way `GET /containers/json` does."""

from __future__ import annotations

from typing import Any

from lugsail.lab.containers.discovery import Container


def listed(name: str, role: str = "", state: str = "running", **more: Any) -> dict[str, Any]:
    """One container; `labels`, `ip`, `network_mode`, `ports`, `status`, `command` as keywords."""
    service = more.get("service", name)
    labels = {"com.docker.compose.project": "bookinfo", "com.docker.compose.service": service}
    labels |= {"lugsail.io/role": role} if role else {}
    mode = more.get("network_mode", "bookinfo_default")
    networks = (
        {} if mode.startswith("container:") else {"bookinfo_default": {"IPAddress": more.get("ip", "172.18.0.2")}}
    )
    return {
        "Id": f"id-{name}",
        "Names": [f"/bookinfo-{name}-1"],
        "Image": "lugsail/apps",
        "Command": more.get("command", "python -m bookinfo.reviews"),
        "Labels": labels | more.get("labels", {}),
        "State": state,
        "Status": more.get("status", "Up 3 minutes"),
        "HostConfig": {"NetworkMode": mode},
        "NetworkSettings": {"Networks": networks},
        "Ports": more.get("ports", []),
    }


def pod(name: str, **more: Any) -> list[dict[str, Any]]:
    """The four containers of one pod. `app`, `proxy` and `init` override what is said of each."""
    inside = {"network_mode": f"container:id-{name}-pod"}
    labels = {"app": name.rpartition("-")[0], "version": "v1", "lugsail.io/ports": "http:9080"}
    command = "python -m sidecar --workload reviews-v1 --proxy python --interception REDIRECT"
    return [
        listed(f"{name}-pod", "pod", labels=labels | more.get("labels", {}), ip=more.get("ip", "172.18.0.7")),
        listed(f"{name}-init", "init", "exited", **inside, status="Exited (0) 3 minutes ago"),
        listed(f"{name}-proxy", "proxy", **{**inside, "command": command, **more.get("proxy", {})}),
        listed(name, "app", **{**inside, **more.get("app", {})}),
    ]


def control_plane(**more: Any) -> dict[str, Any]:
    ports = [
        {"IP": "127.0.0.1", "PrivatePort": 8080, "PublicPort": 8081, "Type": "tcp"},
        {"PrivatePort": 15010, "Type": "tcp"},
    ]
    return listed("control-plane", "control-plane", **{"ports": ports, "ip": "172.18.0.3", **more})


def gateway() -> dict[str, Any]:
    ports = [{"IP": "127.0.0.1", "PrivatePort": 8080, "PublicPort": 18080, "Type": "tcp"}]
    labels = {"lugsail.io/workload": "istio-ingressgateway", "lugsail.io/namespace": "istio-system"}
    return listed("gateway", "gateway", ports=ports, labels=labels, ip="172.18.0.4", command="… --proxy envoy …")


def containers(*items: dict[str, Any]) -> list[Container]:
    return [Container.read(item) for item in items]
