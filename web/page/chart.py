"""Plots over time as SVG geometry: round scales, a path, labels. Pure arithmetic; the template draws it."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from jobs.store.times import unix_s
from jobs.view.history import Sample
from web.page.text import duration, number, pace

#: The box of a plot in its own units; it is stretched to the room that there is, its lines are not.
WIDTH, HEIGHT = 600, 100


@dataclass(frozen=True, slots=True)
class Plot:
    """One plot.

    Attributes:
        name: a word for addresses and classes.
        title: what it shows, with its unit.
        line: path of the line.
        area: path of the area below it.
        scale: labels of the values, from the top of the box in even steps down to its floor.
        times: labels of the times, from left to right in even steps.
        latest: the newest value as text.
        text: the whole in a sentence, for those who do not see it.
    """

    name: str
    title: str
    line: str
    area: str
    scale: tuple[str, ...]
    times: tuple[str, ...]
    latest: str
    text: str


def plots(history: Sequence[Sample]) -> list[Plot]:
    """Plot a job's throughput, rate and batch size over time; nothing as long as there is nothing to see.

    Args:
        history: oldest first.
    """
    if len(history) < 2:
        return []
    times = [unix_s(sample.at) for sample in history]
    seconds = [time - times[0] for time in times]
    if seconds[-1] <= 0:
        return []
    throughput = [
        max(0.0, (after.decided - before.decided) / max(end - start, 1e-3))
        for before, after, start, end in zip(history, history[1:], seconds, seconds[1:], strict=False)
    ]
    return [
        _plot("throughput", "Contacts per second", seconds, [throughput[0], *throughput]),
        _plot("rate", "Calls per second", seconds, [sample.requests_per_second for sample in history]),
        _plot("batch", "Contacts per batch", seconds, [float(sample.batch_size) for sample in history]),
    ]


def _plot(name: str, title: str, seconds: Sequence[float], values: Sequence[float]) -> Plot:
    top = round_up(max(values))
    span = seconds[-1]
    points = [
        (second / span * WIDTH, HEIGHT - value / top * HEIGHT) for second, value in zip(seconds, values, strict=True)
    ]
    line = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
    return Plot(
        name=name,
        title=title,
        line=line,
        area=f"{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z",
        scale=tuple(pace(top * part) for part in (1, 0.5, 0)),
        times=tuple(duration(span * part) for part in (0, 0.5, 1)),
        latest=pace(values[-1]),
        text=(
            f"{title} over {duration(span)}: {pace(values[-1])} at the end, "
            f"between {pace(min(values))} and {pace(max(values))}, {number(len(values))} points."
        ),
    )


def round_up(value: float) -> float:
    """Return the next good end of a scale at or above `value`: 1, 2, 3, 4, 5, 6, 8 or 10 times a power of ten."""
    if value < sys.float_info.min:  # below it, a power of ten may come out as zero
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 3, 4, 5, 6, 8, 10) if step * power >= value * (1 - 1e-9))
