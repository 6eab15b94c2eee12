"""Every metric that the proxy's code can export stands in docs/reference/proxy-metrics.md, and nothing else does."""

from __future__ import annotations

import ast
import pathlib
import re

REPO = pathlib.Path(__file__).parents[3]
DOC = REPO / "docs" / "reference" / "proxy-metrics.md"
MAKERS = {"counter", "gauge", "gauge_function", "histogram"}
TABLES = {"_COUNTERS", "_GAUGES", "_HISTOGRAMS"}


def endings(tree: ast.AST) -> set[str]:
    """How the names of metrics end, as written in one module: `stats.counter(prefix + "x")`, tables of names."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MAKERS:
            if node.args and (ending := last_text(node.args[0])):
                found.add(ending)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(node.value, ast.Dict):
            target = node.targets[0] if isinstance(node, ast.Assign) else node.target
            if isinstance(target, ast.Name) and target.id in TABLES:
                found |= {one.value for one in node.value.values if isinstance(one, ast.Constant)}
    return found


def last_text(node: ast.expr) -> str:
    """The literal that an expression of text ends with, or ""."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return last_text(node.values[-1]) if node.values else ""
    if isinstance(node, ast.BinOp):
        return last_text(node.right)
    return ""


def exported() -> set[str]:
    found = set()
    for path in (REPO / "sidecar").rglob("*.py"):
        found |= endings(ast.parse(path.read_text()))
    return {ending.lstrip(".") for ending in found}


def documented() -> list[str]:
    """The names in the first column of the tables."""
    return re.findall(r"^\| `([^`]+)`", DOC.read_text(), re.MULTILINE)


def test_the_code_names_metrics() -> None:
    assert {"istio_requests_total", "upstream_rq_total", "downstream_cx_active", "server.live"} <= exported()


def test_every_metric_is_documented() -> None:
    names = documented()
    missing = sorted(one for one in exported() if not any(name == one or name.endswith("." + one) or
                     (one == "xx" and name.endswith("xx")) for name in names))  # fmt: skip
    assert not missing, f"not in {DOC.relative_to(REPO)}: {', '.join(missing)}"


def test_no_metric_is_documented_that_does_not_exist() -> None:
    code = exported() | {"upstream_rq_CODE", "upstream_rq_Nxx", "downstream_rq_Nxx"}
    stale = [name for name in documented() if not any(name == one or name.endswith("." + one) for one in code)]
    assert not stale, f"in {DOC.relative_to(REPO)}, but no code exports it: {', '.join(stale)}"
