"""The product page's own numbers in Prometheus' text format. Pure."""

from __future__ import annotations

from collections.abc import Mapping

METRIC = "bookinfo_upstream_requests_total"


def exposition(results: Mapping[tuple[str, int], int]) -> str:
    """Calls to other services, from counts by (service, status); a call without an HTTP answer counts as 500."""
    lines = [
        f"# HELP {METRIC} Calls from the product page to another service, by its name and the status it answered.",
        f"# TYPE {METRIC} counter",
    ]
    for (service, status), count in sorted(results.items()):
        lines.append(f'{METRIC}{{destination_app="{service}",response_code="{status}"}} {count}')
    return "\n".join(lines) + "\n"
