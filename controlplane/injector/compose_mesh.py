"""The containers that the mesh itself needs beside its pods: the control plane, the gateways, and what watches it."""

from __future__ import annotations

from typing import Any

from controlplane.injector.compose_images import IMAGE_PREFIX
from controlplane.injector.compose_observers import ACCESS_LOG_SERVICE, OBSERVERS, observer_services
from controlplane.injector.compose_values import health_check, published

Document = dict[str, Any]

MESH_SERVICES = ("control-plane", "gateway", "egress-gateway", *OBSERVERS)
DISCOVERY = "control-plane:15010"
# Compose asks the environment for it at `up`: the same file runs on either proxy.
PROXY_SWITCH = "${LUGSAIL_PROXY:-python}"
ROLE = "lugsail.io/role"
SEED = "/srv/samples/bookinfo/bookinfo-gateway.yaml"
# In the image; `lugsail up --runtime docker --mesh-config FILE` puts another one there.
MESH_CONFIG = "/srv/samples/telemetry/mesh-config.yaml"
STORE_VOLUME = "lugsail-store"
STORE = "/var/lib/lugsail"
GATEWAY_NAMESPACE = "istio-system"


def mesh_services(names: list[str], proxy: str | None, context: str | None) -> dict[str, tuple[Document, str]]:
    """Each of MESH_SERVICES with its comment, in the networks `names`.

    `proxy`: python, envoy, or None to ask. `context` is where Lugsail's sources lie, None where nobody says.
    """
    networks: Document = {} if names == ["default"] else {"networks": names}
    ingress = ["${LUGSAIL_GATEWAY_PORT:-8080}:8080", "${LUGSAIL_GATEWAY_TLS_PORT:-8443}:8443"]
    ingress.append("${LUGSAIL_GATEWAY_TCP_PORT:-31400}:31400")
    return {
        "control-plane": (
            _control_plane(proxy or PROXY_SWITCH, networks),
            "Serves xDS to every sidecar. It starts as root to join the group of Docker's socket, then is user 1337.",
        ),
        "gateway": (
            _gateway("ingressgateway", "http:80:8080,http-alt:8080,https:443:8443,tcp:31400", proxy, networks, ingress),
            "The way in from outside.",
        ),
        "egress-gateway": (
            {
                "profiles": ["egress-gateway"],
                **_gateway("egressgateway", "http:80:8080,https:443:8443", proxy, networks, []),
            },
            "The way out, for the tasks that want one.",
        ),
        **observer_services(networks, context),
    }


def _control_plane(proxy: str, networks: Document) -> Document:
    """Out of the sidecars' image: every sidecar waits for this service, so the image is built before all of them."""
    return {
        "image": f"{IMAGE_PREFIX}{proxy}",
        "command": [
            *("python", "-m", "controlplane", "--address", "0.0.0.0"),  # noqa: S104 - inside the container
            *("--docker", "--inject", "--user", "1337", "--store", f"{STORE}/store.db", "--seed", SEED),
            *("--mesh-config", MESH_CONFIG),
        ],
        "user": "root",
        # To join the group of Docker's socket, own the store, and become user 1337 for good.
        "cap_drop": ["ALL"],
        "cap_add": ["SETUID", "SETGID", "CHOWN"],
        "volumes": ["/var/run/docker.sock:/var/run/docker.sock", f"{STORE_VOLUME}:{STORE}"],
        **networks,
        "ports": published(["${LUGSAIL_API_PORT:-8081}:8080", "${LUGSAIL_MONITORING_PORT:-15014}:15014"]),
        "healthcheck": health_check(8080, "/ready"),
        "restart": "unless-stopped",
        "labels": {ROLE: "control-plane"},
    }


def _gateway(kind: str, ports: str, proxy: str | None, networks: Document, places: list[str]) -> Document:
    workload, chosen = f"istio-{kind}", proxy or PROXY_SWITCH
    return {
        "image": f"{IMAGE_PREFIX}{chosen}",
        "command": [
            *("python", "-m", "sidecar", "--type", "router", "--workload", workload),
            *("--namespace", GATEWAY_NAMESPACE, "--ip", "auto", "--labels", f"app={workload},istio={kind}"),
            *("--service-account", workload, "--discovery", DISCOVERY, "--proxy", chosen),
            *("--access-log-service", ACCESS_LOG_SERVICE, "--interception", "NONE", "--state-dir", "/tmp/lugsail"),
        ],
        "user": "1337:1337",
        "cap_drop": ["ALL"],
        **networks,
        **({"ports": published(places)} if places else {}),
        "depends_on": {"control-plane": {"condition": "service_started"}},
        "healthcheck": health_check(15021, "/healthz/ready"),
        "restart": "unless-stopped",
        "labels": {
            "app": workload,
            "istio": kind,
            "lugsail.io/workload": workload,
            "lugsail.io/namespace": GATEWAY_NAMESPACE,
            "lugsail.io/service": workload,
            "lugsail.io/ports": ports,
            "lugsail.io/service-account": workload,
            ROLE: "gateway",
        },
    }
