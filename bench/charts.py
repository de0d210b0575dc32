"""What the pictures of docs/benchmarks.md show: bars, made of the tables of that page or of results in JSON."""

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.md_tables import Figure, figures, tables_below
from bench.variants import BARE

_OURS = ("crm-sweep", "ours")


@dataclass(frozen=True)
class Bar:
    """One bar, and the range of the measurements behind it."""

    label: str
    figure: Figure
    ours: bool = True  #: drawn in the colour of this program, and not in that of everything else


@dataclass(frozen=True)
class Panel:
    """Bars on one scale, from top to bottom."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Chart:
    """A picture: panels beside and below each other."""

    title: str
    panels: tuple[Panel, ...]
    one_scale: bool = True  #: whether all panels have the same scale

    @property
    def digest(self) -> str:
        """What it shows, as a short hash: the same figures and words have the same."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


def _speed(page: str) -> Chart:
    table = tables_below(page, "Speed")[0]
    panels = []
    for row in table.rows:
        portal, batch, *cells = row
        bars = [
            Bar(variant, figure, ours=variant in _OURS)
            for variant, cell in zip(table.columns[2:], cells, strict=True)
            for figure in figures(cell)[:1]
        ]
        panels.append(Panel(f"{portal}, batches of {batch}", tuple(bars)))
    return Chart("Contacts per second, as a share of the best bare loop", tuple(panels))


def _call(page: str) -> Chart:
    table = tables_below(page, "Where the time of a call goes")[0]
    wanted = {"bare loop": "bare loop", "worker": "crm-sweep, worker", "Redis": "crm-sweep, Redis"}
    return Chart(
        "CPU time of a call, µs",
        tuple(
            Panel(
                f"{batch} contacts per call",
                tuple(
                    Bar(label, figures(table.column(column)[number])[0], ours=column != "bare loop")
                    for column, label in wanted.items()
                ),
            )
            for number, batch in enumerate(table.column("contacts per call"))
        ),
    )


def _memory(page: str) -> Chart:
    table = tables_below(page, "Memory")[0]
    shares = table.column("contacts")
    plain = Bar("32-bit integers, no outcomes", Figure("4.00", 4.0), ours=False)
    panels = []
    for column in table.columns[1:]:
        bars = [
            Bar(f"{share}, batches of {batch}", figure)
            for share, cell in zip(shares, table.column(column), strict=True)
            for batch, figure in zip((200, 1000), figures(cell), strict=True)
        ]
        panels.append(Panel(f"IDs {column.partition(', batches of')[0]}", (*bars, plain)))
    return Chart("Bytes per contact ID in Redis, by the share of contacts that were not simply deleted", tuple(panels))


def _recovery(page: str) -> Chart:
    table = tables_below(page, "Recovery")[0]
    bars = tuple(Bar(what, figures(cell)[0]) for what, cell in table.rows)
    return Chart("Seconds until the next call arrives at the portal", (Panel("", bars),))


def _polls(page: str) -> Chart:
    table = tables_below(page, "The HTTP API")[0]
    rows = zip(table.column("clients"), table.column("bare handler"), table.column("status of a job"), strict=True)
    return Chart(
        "Answers per second",
        tuple(
            Panel(
                "1 client" if clients == "1" else f"{clients} clients",
                (
                    Bar("bare handler", figures(bare)[0], ours=False),
                    Bar("crm-sweep, status of a job", figures(status)[0]),
                ),
            )
            for clients, bare, status in rows
        ),
    )


def _scale(page: str) -> Chart:
    table = tables_below(page, "One very large job")[0]
    sizes = table.column("contacts")

    def panel(title: str, column: str, position: int = 0) -> Panel:
        cells = table.column(column)
        bars = (Bar(size, figures(cell)[position]) for size, cell in zip(sizes, cells, strict=True))
        return Panel(title, tuple(bars))

    return Chart(
        "One job, by its number of contacts",
        (
            panel("contacts per second", "contacts per second"),
            panel("peak memory of the worker, MB", "peak MB", 1),
            panel("bytes per contact in Redis", "Redis, bytes"),
        ),
        one_scale=False,
    )


#: By the name of the picture's file.
CHARTS: dict[str, Callable[[str], Chart]] = {
    "speed": _speed,
    "call": _call,
    "memory": _memory,
    "recovery": _recovery,
    "polls": _polls,
    "scale": _scale,
}


def of_page(page: str) -> dict[str, Chart]:
    """Return every chart of a page, by the name of its file.

    Raises:
        LookupError: A table or a column is not there, or a cell lacks its number.
    """
    charts = {}
    for name, make in CHARTS.items():
        try:
            charts[name] = make(page)
        except (IndexError, ValueError, LookupError) as error:
            raise LookupError(f"the chart {name!r}: {error}") from error
    return charts


def of_speed_results(documents: list[Mapping[str, Any]]) -> Chart:
    """Return the speed chart of what `python -m bench speed --json` has written, one panel for each document.

    Raises:
        LookupError: A document is of another section, or has no round of the bare loop.
    """
    panels = []
    for document in documents:
        if BARE not in document.get("rounds", [{}])[0]:
            raise LookupError(f"{document.get('title', 'this')!r} has no rounds with the bare loop")
        rounds = [
            {name: one["contacts"] / one["elapsed_s"] for name, one in each.items()} for each in document["rounds"]
        ]
        bars = []
        for name in rounds[0]:
            ratios = [each[name] / each[BARE] for each in rounds]
            bars.append(Bar(name, _figure(ratios), ours=name in _OURS))
        panels.append(Panel(document["title"], tuple(bars)))
    return Chart("Contacts per second, as a share of the best bare loop", tuple(panels))


def _figure(ratios: Sequence[float]) -> Figure:
    middle, low, high = statistics.median(ratios), min(ratios), max(ratios)
    return Figure(f"{middle:.2f} ({low:.2f}-{high:.2f})", middle, low, high)
