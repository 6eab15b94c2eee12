"""Starting either proxy on a static configuration."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from sidecar.compiler.clusters import compile_cluster
from sidecar.compiler.listeners import compile_listener
from sidecar.http.route_tables import RouteTables
from sidecar.http.tracers import Tracers
from sidecar.listener.manager import ListenerManager
from sidecar.telemetry.access_log import AccessLogWriters
from sidecar.telemetry.stats import Stats
from sidecar.upstream.cluster_manager import ClusterManager

ENVOY = Path(sys.executable).with_name("envoy")


class PythonProxy:
    """The data path alone, in this process, on static resources."""

    def __init__(self, listeners: list[dict[str, Any]], clusters: list[dict[str, Any]], **managed: Any) -> None:
        from envoy.config.cluster.v3.cluster_pb2 import Cluster
        from envoy.config.listener.v3.listener_pb2 import Listener

        loop = asyncio.get_running_loop()
        self.stats = Stats()
        self.logs = AccessLogWriters(self.stats, loop)
        self.clusters = ClusterManager(self.stats, loop)
        self.routes = RouteTables()
        node = managed.pop("node", None)
        if node is not None:
            managed["tracers"] = Tracers(self.clusters, self.stats, node)
        recorders = managed.pop("recorders", None)
        if recorders is not None:
            managed["recorders"] = recorders(self.stats)
        self.listeners = ListenerManager(self.stats, self.clusters, self.routes, self.logs, **managed)
        compiled = [compile_cluster(json_format.ParseDict(one, Cluster())) for one in clusters]
        self.clusters.update_clusters({one.name: one for one in compiled})
        built = [compile_listener(json_format.ParseDict(one, Listener())) for one in listeners]
        errors = self.listeners.update({one.name: one for one in built})
        if errors:
            raise OSError(errors)

    def close(self) -> None:
        """Stop everything."""
        self.listeners.drain()
        self.listeners.close()
        self.clusters.close()
        self.logs.close()


def start_envoy(bootstrap: dict[str, Any], folder: Path, concurrency: int = 1) -> subprocess.Popen[bytes]:
    """The stock Envoy, ready."""
    config = folder / "envoy.json"
    config.write_text(json.dumps(bootstrap))
    output = (folder / "envoy.log").open("wb")
    process = subprocess.Popen(
        [str(ENVOY), "-c", str(config), "--concurrency", str(concurrency), "--disable-hot-restart", "-l", "warning",
         "--file-flush-interval-msec", "100"],
        stdout=output,
        stderr=output,
    )  # fmt: skip
    address = bootstrap["admin"]["address"]["socket_address"]
    url = f"http://{address['address']}:{address['port_value']}/ready"
    deadline = time.monotonic() + 20
    while True:
        try:
            with urllib.request.urlopen(url, timeout=1) as answer:
                if answer.status == 200:
                    return process
        except OSError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            process.kill()
            raise RuntimeError((folder / "envoy.log").read_text()[-2000:])
        time.sleep(0.05)
