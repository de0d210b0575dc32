"""`python -m bench replication`: what it costs that a replica has every claim before its PUT is sent.

One primary with one replica, both writing their log to disk every second. In every round the same work is done with
`redis.min_replicas` 0 and 1, usually twice each: 0, 1, 1, 0 or 1, 0, 0, 1, so that a machine that slowly becomes busier
favours neither. Ratios are taken within a round.
"""

import argparse
import dataclasses
import random
import statistics
import sys
from collections.abc import Sequence
from functools import partial
from typing import Any

from bench.kept import Kept
from bench.load import Load
from bench.measure import Measurement
from bench.rounds import MODELS, run_once, stub_portal
from bench.section import add_number, add_seed, positive, publish, run_with_options, section_parser, table
from bench.sentinels import Server, sentinel_group

_OURS = "ours"
#: PUTs of a run, by model: long enough to mean something.
_PUTS = {"zero": 3000, "realistic": 60, "flat": 1000}


async def measure_round(
    model: str, batch: int, number: int, *, puts: int, concurrency: int, turns: int, seed: int
) -> dict[str, Any]:
    """Do the same work without and with a replica that has to have the claims; return both measurements and the ratio.

    Raises:
        RuntimeError: a contact did not arrive at the portal exactly once, or claims were not replicated as they should.
    """
    order = [0, 1]
    random.Random(f"{seed}/{model}/{batch}/{number}").shuffle(order)
    measured: dict[int, list[Measurement]] = {0: [], 1: []}
    async with (
        sentinel_group(replicas=1, sentinels=1, options={"appendfsync": "everysec"}) as group,
        stub_portal(MODELS[model], element_bytes=610) as portal_url,
    ):
        redis_url = f"redis://127.0.0.1:{group.primary.public_port}/0"
        load = Load(portal_url, redis_url, puts * batch, batch, concurrency)
        for _ in range(turns):
            for min_replicas in order:
                run = dataclasses.replace(load, min_replicas=min_replicas)
                waited = await _waits(group.primary)
                measured[min_replicas].append(await run_once(_OURS, run))
                waited = await _waits(group.primary) - waited
                if waited < puts * min_replicas or (waited and not min_replicas):
                    raise RuntimeError(f"{waited} times waited for replicas, with min_replicas = {min_replicas}")
            order.reverse()
    without, replicated = _sum(measured[0]), _sum(measured[1])
    return {"without": without, "with": replicated, "ratio": without["elapsed_s"] / replicated["elapsed_s"]}


async def _waits(server: Server) -> int:
    """Return how often clients have waited for replicas."""
    async with server.client() as redis:
        stats = await redis.info("commandstats")
    return int(stats.get("cmdstat_wait", {"calls": 0})["calls"])


def _sum(runs: Sequence[Measurement]) -> dict[str, float]:
    """Add up runs of the same work."""
    names = ("contacts", "puts", "elapsed_s", "cpu_s")
    return {name: sum(getattr(run, name) for run in runs) for name in names}


def _row(model: str, batch: int, rounds: Sequence[dict[str, Any]]) -> list[str]:
    ratios = [one["ratio"] for one in rounds]

    def rate(name: str) -> float:
        return float(statistics.median(one[name]["contacts"] / one[name]["elapsed_s"] for one in rounds))

    def cpu_ms(name: str) -> float:
        return float(statistics.median(one[name]["cpu_s"] / one[name]["puts"] * 1000 for one in rounds))

    return [
        f"{MODELS[model].summary.partition(':')[0]}; batches of {batch}",
        f"{rate('without'):,.0f}",
        f"{rate('with'):,.0f}",
        f"{statistics.median(ratios):.3f}",
        f"{min(ratios):.3f} to {max(ratios):.3f}",
        f"{cpu_ms('with') - cpu_ms('without'):.2f}",
    ]


def _parser() -> argparse.ArgumentParser:
    parser = section_parser(
        "replication", __doc__, "--rounds 9 --json replication.json", "--models realistic --batches 100"
    )
    parser.add_argument(
        "--models", choices=MODELS, nargs="+", default=["realistic", "zero"], help="portals (default: realistic zero)"
    )
    parser.add_argument("--batches", type=positive, nargs="+", default=[1000, 100], help="(default: 1000 100)")
    parser.add_argument("--puts", type=positive, help="PUTs of each run (default: depends on the model)")
    add_number(parser, "--concurrency", 8, "calls in flight")
    add_number(parser, "--rounds", 5, "rounds")
    add_number(parser, "--turns", 2, "measurements of each in a round")
    add_seed(parser, "the order within the rounds")
    return parser


async def _replication(options: argparse.Namespace, command: Sequence[str]) -> None:
    same = ("puts", "concurrency", "turns", "seed")
    kept = Kept(options.json, {name: getattr(options, name) for name in same})
    cases: dict[tuple[str, int], list[dict[str, Any]]] = {
        (model, batch): [] for model in options.models for batch in options.batches
    }
    for number in range(1, options.rounds + 1):
        for (model, batch), rounds in cases.items():
            work = partial(
                measure_round,
                model,
                batch,
                number,
                puts=options.puts or _PUTS[model] * (1 if batch >= 1000 else 2),
                concurrency=options.concurrency,
                turns=options.turns,
                seed=options.seed,
            )
            rounds.append(await kept.part(f"round {number}, {model}, batches of {batch}", work))
    columns = ("portal", "contacts/s without", "with", "ratio", "range", "CPU of the worker, ms more per call")
    publish(
        f"redis.min_replicas = 1 beside 0, {options.concurrency} calls in flight, {options.rounds} rounds",
        [table(columns, [_row(*case, rounds) for case, rounds in cases.items()])],
        {"replication": [{"model": model, "batch": batch, "rounds": found} for (model, batch), found in cases.items()]},
        command=command,
        json_to=options.json,
    )
    kept.forget()


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    return run_with_options(_parser(), _replication, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
