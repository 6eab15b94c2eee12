"""`lugsail status`: what runs, whether it is ready and in sync, and how much memory it takes."""

from __future__ import annotations

from typing import Any

from lugsail.cli.connect import OutputOption, ProjectOption, running_mesh
from lugsail.cli.output import as_json, check_format, counted, mebibytes, table
from lugsail.lab.running import DOCKER, UNKNOWN_SYNC

EXAMPLES = "\b\nExamples:\n  lugsail status\n  lugsail status -o json"

SHOWN_NAMES = {"tracing": "Traces", "metrics": "Metrics", "prometheus": "Prometheus", "grafana": "Grafana"}

Report = dict[str, Any]


def status(output: OutputOption = None, project: ProjectOption = None) -> int:
    """Show workloads with their apps and proxies: readiness, restarts, sync state and memory of the running mesh."""
    check_format(output, ["json"])
    report = running_mesh(project).status()
    if output == "json":
        print(as_json(report))
        return 0
    if report["runtime"] == DOCKER:
        _print_containers(report)
    else:
        _print_processes(report)
    _print_notes(report)
    return 0


def _print_processes(report: Report) -> None:
    header = ["WORKLOAD", "IP", "PROXY", "STATE", "RESTARTS", "SYNC", "APP PID", "PROXY PID", "APP PSS", "PROXY PSS"]
    rows = []
    control = report["controlplane"]
    memory = control["memory"]
    shown_memory = mebibytes(memory["pss_bytes"]) if memory else "-"
    state, restarts, pid = control.get("state", "stopped"), control.get("restarts", 0), control.get("pid") or "-"
    rows.append(["control plane", "", "", state, restarts, "", pid, "", shown_memory, ""])
    for item in report["observers"]:
        shown_memory = mebibytes(item["memory"]["pss_bytes"]) if item["memory"] else "-"
        row = [item["name"], item["ip"], "", item.get("state", "stopped"), item.get("restarts", 0), ""]
        rows.append([*row, item.get("pid") or "-", "", shown_memory, ""])
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


def _print_containers(report: Report) -> None:
    header = ["WORKLOAD", "IP", "PROXY", "STATE", "APP", "SIDECAR", "RESTARTS", "SYNC", "APP MEMORY", "PROXY MEMORY"]
    control = report["controlplane"]
    rows = [
        ["control plane", control["ip"], "", control["state"], "", "", control["restarts"], "", *_used(control, "")]
    ]
    for item in report["observers"]:
        row = [item["name"], item["ip"], "", item["state"], "", "", item["restarts"], "", *_used(item, "")]
        rows.append(row)
    for item in report["workloads"]:
        parts = [item["app_state"] or "-", item["proxy_state"] or "-"]
        row = [item["workload"], item["ip"] or "-", item["proxy"] or "-", item["state"], *parts]
        rows.append([*row, item["restarts"], item["sync"], *_used(item, "app_"), *_used(item, "proxy_")])
    for row in rows:
        row += [""] * (len(header) - len(row))
    print(table(header, rows))
    print(f"\nMemory in all: {mebibytes(report['memory_total']['usage_bytes'])}   Project: {report['project']}")


def _used(item: Report, part: str) -> list[str]:
    memory = item[f"{part}memory"]
    return [mebibytes(memory["usage_bytes"]) if memory else "-"]


def _print_notes(report: Report) -> None:
    """Where the mesh is reached, and what is not as it should be."""
    print(f"Page: {report['gateway'] or '-'}/productpage   Control plane: {report['control_plane'] or '-'}")
    if report["observers"]:
        print("   ".join(f"{SHOWN_NAMES[item['name']]}: {item['url'] or '-'}" for item in report["observers"]))
    if report.get("mesh_config"):
        print(f"Mesh config: {report['mesh_config']}")
    observers = [{"workload": item["name"], **item} for item in report["observers"]]
    control_plane = {"workload": "The control plane", **report["controlplane"]}
    for item in (control_plane, *observers, *report["workloads"]):
        if item.get("restarts"):
            last = f"; last: {item['last_exit']}" if item.get("last_exit") else ""
            print(f"{item['workload']} was restarted {counted(item['restarts'], 'time')}{last}")
    if any(item["sync"] == UNKNOWN_SYNC for item in report["workloads"]):
        print("The control plane does not answer: nobody knows what is in sync. Traffic goes on as last configured.")
