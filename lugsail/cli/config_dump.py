"""Reads Envoy's /config_dump (envoy.admin.v3.ConfigDump as JSON) into rows for people. Pure.

Both proxies give the same form, so nothing here knows which of them it reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Resource = dict[str, Any]


@dataclass(frozen=True)
class ClusterName:
    """The parts of Istio's name `outbound|9080|v2|reviews.default.svc.cluster.local`; empty where it has none."""

    direction: str = ""
    port: str = ""
    subset: str = ""
    fqdn: str = ""

    @classmethod
    def parse(cls, name: str) -> ClusterName:
        parts = name.split("|")
        return cls(*parts) if len(parts) == 4 else cls(fqdn=name)


class ConfigDump:
    """One dump; each method gives the active resources, static ones first."""

    def __init__(self, data: Resource) -> None:
        self._sections = {str(config.get("@type", "")).rpartition(".")[2]: config for config in data.get("configs", ())}

    def bootstrap(self) -> Resource:
        found: Resource = self._sections.get("BootstrapConfigDump", {}).get("bootstrap", {})
        return found

    def listeners(self) -> list[Resource]:
        section = self._sections.get("ListenersConfigDump", {})
        found = [entry["listener"] for entry in section.get("static_listeners", ()) if "listener" in entry]
        states = (entry.get("active_state", {}) for entry in section.get("dynamic_listeners", ()))
        return [*found, *(state["listener"] for state in states if "listener" in state)]

    def clusters(self) -> list[Resource]:
        return self._of("ClustersConfigDump", ("static_clusters", "dynamic_active_clusters"), "cluster")

    def routes(self) -> list[Resource]:
        return self._of("RoutesConfigDump", ("static_route_configs", "dynamic_route_configs"), "route_config")

    def endpoints(self) -> list[Resource]:
        return self._of(
            "EndpointsConfigDump", ("static_endpoint_configs", "dynamic_endpoint_configs"), "endpoint_config"
        )

    def _of(self, section: str, lists: tuple[str, str], key: str) -> list[Resource]:
        config = self._sections.get(section, {})
        return [entry[key] for name in lists for entry in config.get(name, ()) if key in entry]


def listener_address(listener: Resource) -> tuple[str, int]:
    address = listener.get("address", {}).get("socket_address", {})
    return str(address.get("address", "")), int(address.get("port_value", 0))


def listener_rows(listener: Resource) -> Iterator[tuple[str, int, str, str]]:
    """(address, port, match, destination) for each filter chain."""
    ip, port = listener_address(listener)
    chains = [*listener.get("filter_chains", ())]
    if "default_filter_chain" in listener:
        chains.append(listener["default_filter_chain"])
    for chain in chains:
        yield ip, port, _chain_match(chain.get("filter_chain_match", {})), _chain_destination(chain)


def _chain_match(match: Resource) -> str:
    parts = []
    if match.get("server_names"):
        parts.append(f"SNI: {','.join(match['server_names'])}")
    if match.get("transport_protocol"):
        parts.append(f"Trans: {match['transport_protocol']}")
    if match.get("application_protocols"):
        parts.append(f"App: {','.join(match['application_protocols'])}")
    if match.get("prefix_ranges"):
        ranges = (f"{each['address_prefix']}/{each.get('prefix_len', 32)}" for each in match["prefix_ranges"])
        parts.append(f"Addr: {','.join(ranges)}")
    if match.get("destination_port"):
        parts.append(f"Port: {match['destination_port']}")
    return "; ".join(parts) or "ALL"


def _chain_destination(chain: Resource) -> str:
    for each in reversed(chain.get("filters", ())):
        config = each.get("typed_config", {})
        if "route_config" in config:
            return f"Inline Route: {config['route_config'].get('name') or _paths(config['route_config'])}"
        if "rds" in config:
            return f"Route: {config['rds'].get('route_config_name', '')}"
        if "cluster" in config:
            return f"Cluster: {config['cluster']}"
        if "weighted_clusters" in config:
            clusters = config["weighted_clusters"].get("clusters", ())
            return "Clusters: " + ", ".join(f"{each['name']}={each.get('weight', 0)}" for each in clusters)
    return "Non-HTTP/Non-TCP" if chain.get("filters") else ""


def _paths(config: Resource) -> str:
    """What a route configuration without a name is for."""
    return ", ".join(
        route_match(route.get("match", {}))
        for host in config.get("virtual_hosts", ())
        for route in host.get("routes", ())
    )


def route_rows(config: Resource) -> Iterator[tuple[str, str, str, str, str, str]]:
    """(route configuration, virtual host, domains, match, destination, resource it came from) for each route."""
    for host in config.get("virtual_hosts", ()):
        domains = sorted(host.get("domains", []), key=len)  # the names that people write come first
        shown = ", ".join(domains[:2]) + (f" + {len(domains) - 2} more" if len(domains) > 2 else "")
        for route in host.get("routes", ()):
            yield (
                str(config.get("name", "")),
                str(host.get("name", "")),
                shown,
                route_match(route.get("match", {})),
                route_action(route),
                _origin(route),
            )


def route_match(match: Resource) -> str:
    """`/productpage`, `/static*`, `regex …`, then header and query conditions in brackets."""
    if "path" in match:
        text = str(match["path"])
    elif "path_separated_prefix" in match:
        text = f"{match['path_separated_prefix']}(/*)"
    elif "safe_regex" in match:
        text = f"regex {match['safe_regex'].get('regex', '')}"
    else:
        text = f"{match.get('prefix', '')}*"
    conditions = [_condition(header) for header in match.get("headers", ())]
    conditions += [f"?{_condition(query)}" for query in match.get("query_parameters", ())]
    return f"{text} [{', '.join(conditions)}]" if conditions else text


def _condition(condition: Resource) -> str:
    name = condition.get("name", "")
    not_ = "!" if condition.get("invert_match") else ""
    if "string_match" not in condition:
        return f"{not_}{name}"
    match = condition["string_match"]
    for kind, sign in (("exact", "="), ("prefix", "=^"), ("suffix", "=$"), ("contains", "~")):
        if kind in match:
            return f"{not_}{name}{sign}{match[kind]}"
    return f"{not_}{name}~{match.get('safe_regex', {}).get('regex', '')}"


def route_action(route: Resource) -> str:
    """Where the route leads: a cluster, weighted clusters, a redirect or a direct response."""
    if "redirect" in route:
        redirect = route["redirect"]
        target = redirect.get("host_redirect", "") + redirect.get("path_redirect", redirect.get("prefix_rewrite", ""))
        return f"redirect {target}"
    if "direct_response" in route:
        return f"response {route['direct_response'].get('status', '')}"
    action = route.get("route", {})
    if "weighted_clusters" in action:
        clusters = action["weighted_clusters"].get("clusters", ())
        return ", ".join(f"{each['name']} {each.get('weight', 0)}" for each in clusters)
    return str(action.get("cluster", action.get("cluster_header", "")))


def _origin(thing: Resource) -> str:
    """`reviews.default` of the resource path that Istio writes into metadata (`…/virtual-service/reviews`)."""
    config = thing.get("metadata", {}).get("filter_metadata", {}).get("istio", {}).get("config", "")
    parts = str(config).strip("/").split("/")
    if len(parts) < 3 or "namespaces" not in parts:
        return ""
    namespace = parts[parts.index("namespaces") + 1]
    return f"{parts[-1]}.{namespace}"


def cluster_row(cluster: Resource) -> tuple[str, str, str, str, str, str]:
    """(FQDN, port, subset, direction, type, destination rule)."""
    name = ClusterName.parse(str(cluster.get("name", "")))
    kind = str(cluster.get("type", cluster.get("cluster_type", {}).get("name", "STATIC")))
    return name.fqdn or "-", name.port or "-", name.subset or "-", name.direction or "-", kind, _origin(cluster)


def endpoint_rows(assignment: Resource) -> Iterator[tuple[str, str, str, int]]:
    """(address, health, cluster, weight) for each endpoint."""
    for locality in assignment.get("endpoints", ()):
        for each in locality.get("lb_endpoints", ()):
            address = each.get("endpoint", {}).get("address", {})
            socket = address.get("socket_address", {})
            if socket:
                shown = f"{socket.get('address', '')}:{socket.get('port_value', 0)}"
            else:
                shown = str(address.get("pipe", {}).get("path", "-"))
            health = str(each.get("health_status", "HEALTHY"))
            weight = int(each.get("load_balancing_weight", 1))
            yield shown, "HEALTHY" if health == "UNKNOWN" else health, str(assignment.get("cluster_name", "")), weight


def assignments(found: ConfigDump) -> list[Resource]:
    """The endpoints of every cluster once: those that it carries itself, else those that were discovered."""
    by_cluster = {str(each.get("cluster_name", "")): each for each in inline_assignments(found.clusters())}
    by_cluster |= {str(each.get("cluster_name", "")): each for each in found.endpoints()}
    return list(by_cluster.values())


def inline_assignments(clusters: list[Resource]) -> list[Resource]:
    """The endpoints that static clusters carry themselves."""
    found = []
    for cluster in clusters:
        assignment = cluster.get("load_assignment")
        if assignment:
            found.append({**assignment, "cluster_name": assignment.get("cluster_name") or cluster.get("name", "")})
    return found
