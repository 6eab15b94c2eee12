"""`lugsail status`: what runs, whether it is ready and in sync, and how much memory it takes."""

from __future__ import annotations

from typing import Any

from lugsail.cli.connect import OutputOption, not_running
from lugsail.cli.output import CliError, as_json, check_format, counted, mebibytes, table

EXAMPLES = "\b\nExamples:\n  lugsail status\n  lugsail status -o json"

SYNC_KEYS = ("cluster_status", "endpoint_status", "listener_status", "route_status")


def status(output: OutputOption = None) -> int:
    """Show workloads, processes, readiness, sync state and memory of the running mesh."""
    check_format(output, ["json"])
    report = gather()
    if output == "json":
        print(as_json(report))
    else:
        _print(report)
    return 0


def gather() -> dict[str, Any]:
    """Everything `status` knows; memory in bytes. Raises CliError when no mesh runs."""
    from lugsail.lab import processes, state
    from lugsail.lab.paths import Home

    lab = state.read_state(Home.from_environment())
    if lab is None:
        raise CliError(not_running())
    if not lab.is_running:
        count = len(state.leftovers(lab))
        raise CliError(
            f"The mesh was killed; {count} of its processes still run. "
            f"`lugsail down` cleans up, `lugsail up` starts anew."
        )
    sync = _sync_states(lab.control_plane_url)
    control_plane = lab.data.get("controlplane") or {}
    workloads = []
    for pod in lab.pods:
        app, proxy = pod.get("app_state"), pod.get("proxy_state") or {}
        parts = [part for part in (app, proxy) if part]
        workloads.append(
            {
                "workload": pod["workload"],
                "namespace": pod["namespace"],
                "ip": pod["ip"],
                "proxy": pod["proxy"],
                "app_pid": app["pid"] if app else None,
                "proxy_pid": proxy.get("pid"),
                "ready": bool(parts) and all(part["state"] == "ready" for part in parts),
                "state": _state(parts),
                "restarts": sum(part["restarts"] for part in parts),
                "last_exit": next((part["last_exit"] for part in parts if part["last_exit"]), ""),
                "sync": sync.get(
                    f"{pod['workload']}.{pod['namespace']}", "UNKNOWN" if sync is _NO_ANSWER else "NOT CONNECTED"
                ),
                "app_memory": _memory(app["pid"] if app else None),
                "proxy_memory": _memory(proxy.get("pid")),
            }
        )
    supervisor = lab.supervisor.pid if lab.supervisor else None
    others = [ref.pid for ref in lab.processes()]
    everything = {member for pid in others for member in processes.family(pid)} | (
        {supervisor} if supervisor else set()
    )
    total = [processes.memory(pid) for pid in everything]
    return {
        "gateway": lab.data["gateway"],
        "control_plane": lab.control_plane_url,
        "supervisor": {"pid": supervisor, "memory": _memory(supervisor, alone=True)},
        "controlplane": {**control_plane, "memory": _memory(control_plane.get("pid"))},
        "workloads": workloads,
        "memory_total": {
            "rss_bytes": sum(each.rss_bytes for each in total if each),
            "pss_bytes": sum(each.pss_bytes for each in total if each),
        },
    }


_NO_ANSWER: dict[str, str] = {}


def _sync_states(url: str) -> dict[str, str]:
    """`workload.namespace` → SYNCED, or the worst of its types; _NO_ANSWER when the control plane is away."""
    from lugsail.client import ApiError, Client, Unreachable

    client = Client(url, timeout_s=3.0)
    try:
        proxies = client.debug("syncz")
    except (ApiError, Unreachable):
        return _NO_ANSWER
    finally:
        client.close()
    return {proxy["proxy"]: worst([str(proxy.get(key, "NOT SENT")) for key in SYNC_KEYS]) for proxy in proxies}


def worst(states: list[str]) -> str:
    """One word for a proxy: a rejection over staleness over sync; types that it never asked for do not count."""
    for state in ("NACKED", "STALE", "SYNCED"):
        if state in states:
            return state
    return states[0] if states else "NOT SENT"


def _state(parts: list[dict[str, Any]]) -> str:
    for part in parts:
        if part["state"] != "ready":
            return str(part["state"])
    return "ready" if parts else "stopped"


def _memory(pid: int | None, alone: bool = False) -> dict[str, int] | None:
    """Of the process and its children (the stock Envoy below its agent)."""
    from lugsail.lab import processes

    if pid is None:
        return None
    found = [processes.memory(member) for member in ([pid] if alone else processes.family(pid))]
    return {
        "rss_bytes": sum(each.rss_bytes for each in found if each),
        "pss_bytes": sum(each.pss_bytes for each in found if each),
    }


def _print(report: dict[str, Any]) -> None:
    header = ["WORKLOAD", "IP", "PROXY", "STATE", "RESTARTS", "SYNC", "APP PID", "PROXY PID", "APP PSS", "PROXY PSS"]
    rows = []
    control = report["controlplane"]
    memory = control["memory"]
    shown_memory = mebibytes(memory["pss_bytes"]) if memory else "-"
    state, restarts, pid = control.get("state", "stopped"), control.get("restarts", 0), control.get("pid") or "-"
    rows.append(["control plane", "", "", state, restarts, "", pid, "", shown_memory, ""])
    for item in report["workloads"]:
        memories = [item["app_memory"], item["proxy_memory"]]
        shown = [mebibytes(each["pss_bytes"]) if each else "-" for each in memories]
        row = [item["workload"], item["ip"], item["proxy"], item["state"], item["restarts"], item["sync"]]
        rows.append([*row, item["app_pid"] or "-", item["proxy_pid"] or "-", *shown])
    print(table(header, rows))
    total = report["memory_total"]
    print(
        f"\nMemory in all: {mebibytes(total['pss_bytes'])} (PSS; the RSS, which counts shared pages for each, is "
        f"{mebibytes(total['rss_bytes'])})"
    )
    print(f"Page: {report['gateway']}/productpage   Control plane: {report['control_plane']}")
    for item in ({"workload": "The control plane", **control}, *report["workloads"]):
        if item.get("restarts"):
            print(f"{item['workload']} was restarted {counted(item['restarts'], 'time')}; last: {item['last_exit']}")
    if any(item["sync"] == "UNKNOWN" for item in report["workloads"]):
        print("The control plane does not answer: nobody knows what is in sync. Traffic goes on as last configured.")
