"""A hop with everything that is known of it: the two sides, the rule, why it ended as it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lugsail.requests import flags
from lugsail.requests.joiner import Hop
from lugsail.requests.line import Line, host_of
from lugsail.requests.peers import Peer, Peers
from lugsail.requests.routes import Verdict

CLIENT, SERVER = "client", "server"


@dataclass(frozen=True, slots=True)
class Row:
    """`side` says whose line tells of it; `rule` is None where no rule was asked: on a server's side."""

    hop: Hop
    source: Peer
    destination: Peer
    side: str
    rule: Verdict | None

    @property
    def line(self) -> Line:
        return self.hop.line

    @property
    def shown_rule(self) -> str:
        if self.hop.is_mirror:
            return f"mirror of {self.rule.shown}" if self.rule else "mirror"
        return self.rule.shown if self.rule else "-"

    @property
    def why(self) -> str:
        """The flags of both sides in words; empty where all is well."""
        parts = []
        for line, flag in self.hop.flags:
            m = flags.meaning(flag)
            where = "" if line is self.line else f"at {line.proxy.partition('.')[0]}: "
            failure = f" ({line.failure})" if line.failure else ""
            parts.append(f"{where}{flag} {m.short}: {m.cause}{failure}")
        if flags.is_blocked(self.line.cluster, self.line.route_name):
            parts.append(flags.BLOCKED)
        return " · ".join(dict.fromkeys(parts))

    def to_dict(self) -> dict[str, Any]:
        """What `-o json` prints."""
        line = self.line
        return {
            "start": line.start,
            "from": self._side(self.source, host_of(line.downstream_remote)),
            "to": self._side(self.destination, line.upstream_host),
            "side": self.side,
            "proxy": line.proxy,
            "method": line.method,
            "path": line.path,
            "protocol": line.protocol,
            "authority": line.authority,
            "rule": self.rule.to_dict() if self.rule else None,
            "mirror": self.hop.is_mirror,
            "code": line.code,
            "flags": [
                {
                    "flag": flag,
                    "proxy": own.proxy,
                    "meaning": (m := flags.meaning(flag)).short,
                    "cause": m.cause,
                    "next": m.next,
                }
                for own, flag in self.hop.flags
            ],
            "details": line.details,
            "failure": line.failure,
            "duration_ms": line.duration_ms,
            "attempts": self.hop.attempts,
            "request_id": line.request_id,
            "user_agent": line.user_agent,
            "cluster": line.cluster,
            "route_name": line.route_name,
            "upstream_host": line.upstream_host,
            "upstream_local_address": line.upstream_local,
            "downstream_local_address": line.downstream_local,
            "downstream_remote_address": line.downstream_remote,
        }

    @staticmethod
    def _side(peer: Peer, address: str) -> dict[str, Any]:
        known = {"workload": peer.name, "namespace": peer.namespace, "app": peer.app, "version": peer.version}
        return known if peer.is_workload else {"workload": None, "name": peer.name, "address": address}


def is_server(line: Line, peers: Peers) -> bool:
    """Whether the proxy was the called one's: by its cluster, else by the address that was called."""
    if line.cluster.startswith("inbound|") or line.cluster == "InboundPassthroughCluster":
        return True
    if line.cluster or line.proxy in peers.gateways:
        return False
    return peers.has(line.proxy, host_of(line.downstream_local)) and line.route_name in ("", "default")


def sides(hop: Hop, side: str, peers: Peers) -> tuple[Peer, Peer]:
    """(who called, who was called), as well as they are known."""
    line = hop.line
    own = peers.of_proxy(line.proxy)
    if side == CLIENT:
        return own, _called(hop, peers)
    if hop.mirrored_from is not None:
        return peers.of_proxy(hop.mirrored_from.proxy), own
    remote = host_of(line.downstream_remote)
    return peers.at(remote) or Peer(remote or "unknown", is_workload=False), own


def _called(hop: Hop, peers: Peers) -> Peer:
    line = hop.line
    if hop.servers and (not line.upstream_host or line.upstream_local == hop.servers[-1].downstream_remote):
        return peers.of_proxy(hop.servers[-1].proxy)
    found = peers.at(host_of(line.upstream_host)) if line.upstream_host else None
    return found or Peer(_service(line), is_workload=False)


def _service(line: Line) -> str:
    """Without a host that is known: the service and subset of the cluster, else the host as it was asked for."""
    parts = line.cluster.split("|")
    if len(parts) == 4 and parts[3]:
        service = parts[3].removesuffix(".svc.cluster.local").removesuffix(".default")
        return f"{service} ({parts[2]})" if parts[2] else service
    return line.authority or line.upstream_host or "unknown"
