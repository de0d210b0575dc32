"""`python -m bench check`: whether the program is still as fast beside the bare loop as it was.

A few short rounds, each with the bare loop and this program, which have a core to themselves. Ratios are taken within a
round, and their median is compared with the one in bench/recorded.toml. A row that is below its tolerance is measured
again: other work on the machine passes, a slower program stays.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench import recorded
from bench.alone import bare_alone, ours_alone, us_per_call
from bench.cores import one_core_free
from bench.load import Load
from bench.measure import Measurement
from bench.process import embedded_redis, module
from bench.recorded import Recorded
from bench.rounds import MODELS, stub_portal
from bench.section import add_number, positive, publish, run_section, section_parser, table

_CONCURRENCY = 8
_POLLS = "polls"
_POLL_SECONDS = 2
_API_TIMEOUT_S = 120.0


@dataclass(frozen=True)
class Case:
    """A portal and a batch size; a run is long enough to mean something and short enough to be repeated."""

    model: str
    batch: int
    contacts: int


CASES = {
    "zero-1000": Case("zero", 1000, 600_000),
    "zero-100": Case("zero", 100, 300_000),
    "flat-1000": Case("flat", 1000, 500_000),
    "flat-100": Case("flat", 100, 80_000),
}
NAMES = (*CASES, _POLLS)


async def _measure(name: str, options: argparse.Namespace) -> dict[str, float]:
    """Measure the rows of one case: the medians of its ratios, by row."""
    if name == _POLLS:
        return {_POLLS: await _polls(options.rounds)}
    case = CASES[name]
    speeds, cpus = [], []
    with one_core_free() as core:
        async with embedded_redis() as redis_url, stub_portal(MODELS[case.model], element_bytes=610) as portal_url:
            load = Load(portal_url, redis_url, options.ids or case.contacts, case.batch, _CONCURRENCY)
            for number in range(1, options.rounds + 1):
                bare, ours = await bare_alone(load, core), await ours_alone(load, core)
                speeds.append(ours.contacts_per_s / bare.contacts_per_s)
                cpus.append(bare.cpu_s / ours.cpu_s)
                told = f"bare loop {_told(bare)}; ours {_told(ours)}"
                print(f"{name}, round {number}/{options.rounds}: {told}", file=sys.stderr, flush=True)
    return {f"{name}-speed": statistics.median(speeds), f"{name}-cpu": statistics.median(cpus)}


def _told(measured: Measurement) -> str:
    return f"{measured.contacts_per_s:,.0f} contacts/s, {us_per_call(measured):,.0f} us/call"


async def _polls(rounds: int) -> float:
    """Poll the status of a running job beside a bare handler, as `python -m bench api` does; return the ratio."""
    options = ("--only", "polls", "--rounds", str(rounds), "--seconds", str(_POLL_SECONDS))
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        to = Path(folder) / "polls.json"
        async with module("bench", "api", *options, "--json", str(to), ready=None) as section:
            await section.gone(_API_TIMEOUT_S)
        if not to.exists():
            raise RuntimeError("the polls were not measured; `python -m bench api --only polls` says why")
        polls = json.loads(to.read_text())["polls"]
    per_s: dict[str, list[float]] = {
        server: [one["polls"] / one["elapsed_s"] for one in measured] for server, measured in polls.items()
    }
    return statistics.median(ours / bare for ours, bare in zip(per_s["api"], per_s["bare"], strict=True))


async def _run(options: argparse.Namespace) -> dict[str, float]:
    found: dict[str, float] = {}
    for name in options.only:
        found.update(await _measure(name, options))
    return found


async def _again(
    measured: dict[str, float], known: Mapping[str, Recorded], options: argparse.Namespace
) -> dict[str, float]:
    """Measure the cases again of which a row fell, and return all rows, with the better ratio of the two."""
    fell = recorded.fallen(measured, known)
    for name in options.only:
        if any(row.startswith(name) for row in fell):
            print(f"{name} fell; once more:", file=sys.stderr, flush=True)
            second = await _measure(name, options)
            measured = {row: max(ratio, second.get(row, ratio)) for row, ratio in measured.items()}
    return measured


def _row(name: str, ratio: float, known: Recorded | None) -> list[str]:
    was = f"{known.ratio:.2f}" if known else "-"
    least = f"{known.floor:.2f}" if known else "-"
    return [name, was, least, f"{ratio:.2f}", recorded.verdict(ratio, known)]


async def _check(options: argparse.Namespace, command: Sequence[str], fell: list[str]) -> None:
    known = recorded.read(options.recorded)
    measured = await _again(await _run(options), known, options)
    rows = [_row(name, ratio, known.get(name)) for name, ratio in measured.items()]
    publish(
        f"check: {options.rounds} rounds",
        [table(("ratio to the bare loop", "recorded", "allowed", "now", "verdict"), rows)],
        {"measured": measured},
        command=command,
        json_to=options.json,
    )
    fell.extend(recorded.fallen(measured, known))
    for name in fell:
        was = known[name]
        print(
            f"{name} fell from {was.ratio:.2f} to {measured[name]:.2f}, below the {was.floor:.2f} down to which runs "
            "differ by themselves",
            file=sys.stderr,
        )
    if fell:
        print(
            "`python -m bench profile` shows where the time goes; if the change was intended, "
            "`python -m bench check --record` writes the new ratios",
            file=sys.stderr,
        )


async def _record(options: argparse.Namespace, command: Sequence[str]) -> None:
    runs = []
    for number in range(1, options.runs + 1):
        print(f"run {number}/{options.runs}", file=sys.stderr, flush=True)
        runs.append(await _run(options))
    new = {row: recorded.of_runs([run[row] for run in runs]) for row in runs[0]}
    others = recorded.read(options.recorded) if len(options.only) < len(NAMES) and options.recorded.exists() else {}
    recorded.write(options.recorded, {**others, **new})
    rows = [
        [row, f"{one.ratio:.2f}", f"{one.lowest:.2f}-{one.highest:.2f}", f"{one.tolerance:.0%}"]
        for row, one in new.items()
    ]
    publish(
        f"check: recorded, {options.runs} runs of {options.rounds} rounds",
        [table(("ratio to the bare loop", "median", "range", "tolerance"), rows)],
        {"runs": runs},
        command=command,
        json_to=options.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = section_parser(
        "check",
        "Compare this program with the bare loop, and fail if a ratio has fallen since it was recorded.",
        "",
        "--only zero-100 --rounds 9",
        "--record",
        epilog="exit codes: 0 nothing fell, 1 a row fell or could not be measured, 2 bad usage, 130 interrupted",
    )
    parser.add_argument(
        "--only", nargs="+", choices=NAMES, default=NAMES, metavar="CASE", help=f"some of: {', '.join(NAMES)}"
    )
    add_number(parser, "--rounds", 5, "rounds of each case")
    parser.add_argument("--ids", type=positive, help="contacts per run (default: depends on the case)")
    parser.add_argument("--record", action="store_true", help="record new ratios, after a change that was intended")
    add_number(parser, "--runs", 5, "with --record: how often everything is measured")
    parser.add_argument(
        "--recorded",
        type=Path,
        metavar="FILE",
        default=Path(__file__).with_name("recorded.toml"),
        help="the recorded ratios (default: bench/recorded.toml)",
    )
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the section, and return its exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    command = (*parser.prog.split(), *argv)
    if options.record:
        return run_section(_record(options, command))
    fell: list[str] = []
    return run_section(_check(options, command, fell)) or int(bool(fell))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
