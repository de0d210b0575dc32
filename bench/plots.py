"""Draws charts with matplotlib; the same chart gives the same bytes."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.charts import Chart, Panel

_OURS, _OTHERS, _INK, _QUIET = "#56b4e9", "#c4c4c4", "#222222", "#666666"
_WIDTH_IN, _BAR_IN, _HEAD_IN, _TITLE_IN = 9.6, 0.27, 0.42, 0.5
_STYLE: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "svg.fonttype": "none",  # text stays text, which is small and can be searched
    "svg.hashsalt": "crm-sweep",
    "axes.edgecolor": _QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.bottom": False,
}


def write(chart: Chart, path: Path) -> None:
    """Draw a chart into an SVG file; its metadata name the figures that it was drawn from."""
    columns = _columns(chart)
    rows = [chart.panels[start : start + columns] for start in range(0, len(chart.panels), columns)]
    bars = [max(len(panel.bars) for panel in row) for row in rows]
    heights = [_HEAD_IN + _BAR_IN * most for most in bars]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH_IN, _TITLE_IN + sum(heights)), layout="constrained", facecolor="white")
        grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
        figure.suptitle(chart.title, x=0.01, ha="left", color=_INK, fontweight="bold")
        for number, row in enumerate(rows):
            for place, panel in enumerate(row):
                axes = figure.add_subplot(grid[number, place])
                _draw(panel, axes, most_bars=bars[number], scale=_scale(chart, panel))
        metadata = {"Date": None, "Creator": None, "Title": chart.title, "Identifier": f"figures {chart.digest}"}
        figure.savefig(path, format="svg", metadata=metadata)


def _columns(chart: Chart) -> int:
    """Return how many panels have room beside each other."""
    label = max(len(bar.label) for panel in chart.panels for bar in panel.bars)
    title = max(len(panel.title) for panel in chart.panels)
    return min(len(chart.panels), 1 if label > 60 else 2 if label > 20 or title > 34 else 3)


def _scale(chart: Chart, panel: Panel) -> float:
    """Return the value at the right end of a panel, with room for the label of its longest bar."""
    panels = chart.panels if chart.one_scale else (panel,)
    return 1.25 * max(bar.figure.high or bar.figure.value for each in panels for bar in each.bars)


def _draw(panel: Panel, axes: Axes, *, most_bars: int, scale: float) -> None:
    axes.set_title(panel.title, loc="left", color=_INK, fontsize=9.5)
    places = range(len(panel.bars))
    colours = [_OURS if bar.ours else _OTHERS for bar in panel.bars]
    axes.barh(places, [bar.figure.value for bar in panel.bars], color=colours, height=0.7)
    for place, bar in zip(places, panel.bars, strict=True):
        end = bar.figure.value
        if bar.figure.low is not None and bar.figure.high is not None:
            axes.plot(
                [bar.figure.low, bar.figure.high], [place, place], color=_INK, linewidth=1.2, solid_capstyle="butt"
            )
            end = max(end, bar.figure.high)
        weight = "bold" if bar.ours else "normal"
        axes.text(end + scale * 0.012, place, bar.figure.text, va="center_baseline", color=_INK, fontweight=weight)
    axes.set_yticks(list(places), [bar.label for bar in panel.bars], color=_INK)
    axes.tick_params(axis="y", length=0)
    axes.set_xticks([])
    axes.set_xlim(0, scale)
    axes.set_ylim(most_bars - 0.5, -0.5)
