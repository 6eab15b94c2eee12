"""The picture of a run: requests per second, latency and split over time, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLORS = {"v1": "#8a8f98", "v2": "#1f2328", "v3": "#d1242f"}  # none, black and red stars
OTHER_COLOR = "#0969da"
FAILED_COLOR = "#d1242f"
HEADROOM = 1.2
INK, GRID = "#24292f", "#d8dee4"


def draw(
    result: dict[str, Any], folder: Path, name: str = "load", marks: Sequence[tuple[float, str]] = ()
) -> list[Path]:
    """Write NAME.png and NAME.svg into the folder; `marks` are (second, text) of what was done meanwhile.

    Raises OSError where the folder cannot be written.
    """
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "lugsail", "font.size": 9})
    import matplotlib.ticker
    from matplotlib import pyplot

    series = result["series"]
    versions = sorted({version for one in series for version in one["split"]})
    panels = 3 if versions else 2
    figure, axes = pyplot.subplots(panels, 1, sharex=True, figsize=(9, 2.3 * panels + 0.6), layout="constrained")
    try:
        edges = [float(number) for number in range(len(series) + 1)]
        _rates(axes[0], edges, series)
        _latencies(axes[1], edges, series)
        if versions:
            _split(axes[2], edges, series, versions)
        for axis in axes:
            _plain(axis)
            for second, _ in marks:
                axis.axvline(second, color=INK, linewidth=0.8, linestyle=":")
        for second, text in marks:
            axes[0].annotate(text, (second, 1.0), xycoords=("data", "axes fraction"), xytext=(3, -10),
                             textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
        axes[-1].set_xlabel("seconds")
        axes[-1].set_xlim(0, max(1, len(series)))
        axes[-1].xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
        figure.suptitle(_title(result), x=0.01, ha="left", fontsize=10, color=INK)
        paths = [folder / f"{name}.png", folder / f"{name}.svg"]
        for path in paths:
            figure.savefig(path, dpi=144, metadata={"Date": None} if path.suffix == ".svg" else None)
        return paths
    finally:
        pyplot.close(figure)


def _title(result: dict[str, Any]) -> str:
    config, totals = result["config"], result["totals"]
    load = f"{config['rate_per_s']:g} requests/s" if config["rate_per_s"] else f"{config['users']} users"
    return f"{config['scenario']}, {config['shape']}, {load}: {totals['sent']} requests, {totals['failures']} failed"


def _rates(axis: Any, edges: list[float], series: list[dict[str, Any]]) -> None:
    rates = [one["rps"] for one in series]
    axis.stairs(rates, edges, baseline=None, color=OTHER_COLOR, linewidth=1.4, label="answered")
    failed = [one["failures"] for one in series]
    if any(failed):
        axis.stairs(failed, edges, fill=True, color=FAILED_COLOR, alpha=0.8, label="failed")
    axis.set_ylabel("requests per s")
    axis.set_ylim(0, max([1, *rates]) * HEADROOM)
    axis.legend(loc="lower right", frameon=False, ncols=2)


def _latencies(axis: Any, edges: list[float], series: list[dict[str, Any]]) -> None:
    for key, shade in (("p50", 0.4), ("p95", 0.7), ("p99", 1.0)):
        values = [one[f"{key}_ms"] if one[f"{key}_ms"] is not None else float("nan") for one in series]
        axis.stairs(values, edges, baseline=None, color=OTHER_COLOR, alpha=shade, linewidth=1.4, label=key)
    axis.set_ylabel("latency, ms")
    axis.set_ylim(0, max([1, *(one["p99_ms"] or 0 for one in series)]) * HEADROOM)
    axis.legend(loc="upper right", frameon=False, ncols=3)


def _split(axis: Any, edges: list[float], series: list[dict[str, Any]], versions: list[str]) -> None:
    totals = [sum(one["split"].values()) for one in series]
    bottom = [0.0] * len(series)
    for version in versions:
        shares = [
            100 * one["split"].get(version, 0) / total if total else 0.0
            for one, total in zip(series, totals, strict=True)
        ]
        top = [low + share for low, share in zip(bottom, shares, strict=True)]
        color = COLORS.get(version, OTHER_COLOR)
        axis.stairs(top, edges, baseline=bottom, fill=True, color=color, alpha=0.85, label=f"reviews {version}")
        bottom = top
    axis.set_ylabel("split, %")
    axis.set_ylim(0, 100)
    axis.legend(loc="lower right", frameon=True, framealpha=0.85, edgecolor="none", ncols=len(versions))


def _plain(axis: Any) -> None:
    axis.grid(axis="y", color=GRID, linewidth=0.6)
    axis.set_axisbelow(True)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.tick_params(colors=INK)
