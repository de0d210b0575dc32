"""`python -m bench tracing`: what a call to the portal costs the worker with tracing off, on, and taken out.

Every round runs each variant once, in a shuffled order; ratios are taken within a round. A busy machine only ever adds
to CPU time, so the lowest of all rounds is shown as well.
"""

import argparse
import random
import statistics
import sys
import timeit
from collections.abc import Sequence
from typing import Any

from bench.alone import us_per_call
from bench.load import Load
from bench.measure import Measurement
from bench.process import embedded_redis
from bench.rounds import MODELS, forget, stub_portal
from bench.section import add_number, add_seed, publish, run_with_options, section_parser, table
from bench.traced import VARIANTS, run
from config.tracing import add_trace

_REFERENCE = "without"


async def _rounds(load: Load, rounds: int, seed: int) -> list[dict[str, Measurement]]:
    shuffle, measured = random.Random(seed).shuffle, []
    for number in range(1, rounds + 1):
        order = list(VARIANTS)
        shuffle(order)
        this_round = {}
        for variant in order:
            await forget(load)
            this_round[variant] = await run(load, variant)
            cost = us_per_call(this_round[variant])
            print(f"round {number}/{rounds}  {variant:12} {cost:8,.0f} us/call", file=sys.stderr, flush=True)
        measured.append(this_round)
    return measured


def _row(variant: str, rounds: Sequence[dict[str, Measurement]]) -> list[str]:
    costs = [us_per_call(each[variant]) for each in rounds]
    ratios = [us_per_call(each[variant]) / us_per_call(each[_REFERENCE]) for each in rounds]
    speeds = [each[variant].contacts_per_s / each[_REFERENCE].contacts_per_s for each in rounds]
    return [
        VARIANTS[variant].summary,
        f"{statistics.median(costs):,.0f}",
        f"{min(costs):,.0f}",
        f"{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})",
        f"{statistics.median(speeds):.3f}",
    ]


def check_ns() -> float:
    """Return what is left of tracing where it is off: one check per log line, in nanoseconds."""
    line: dict[str, Any] = {"event": "batch"}
    times = 200_000
    return min(timeit.repeat(lambda: add_trace(None, "info", line), number=times, repeat=5)) * 1e9 / times


async def _work(options: argparse.Namespace, command: Sequence[str]) -> None:
    async with embedded_redis() as redis_url, stub_portal(MODELS["zero"], element_bytes=0) as portal_url:
        load = Load(portal_url, redis_url, options.ids, options.batch, options.concurrency)
        rounds = await _rounds(load, options.rounds, options.seed)
    check = check_ns()
    columns = ("variant", "CPU µs per call", "lowest", "of that without", "speed")
    publish(
        f"tracing: {options.ids // options.batch:,} calls, {options.rounds} rounds",
        [
            table(columns, [_row(variant, rounds) for variant in VARIANTS]),
            f"Off, what is left is one check per log line: {check:.0f} ns.",
        ],
        {
            "check_ns": check,
            "cpu_us_per_call": {variant: [us_per_call(each[variant]) for each in rounds] for variant in VARIANTS},
        },
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section, and return its exit code."""
    parser = section_parser(
        "tracing",
        "Measure what a call costs with tracing off, on, and taken out of the worker.",
        "--ids 10000 --rounds 15",
    )
    add_number(parser, "--ids", 20_000, "contacts per run")
    add_number(parser, "--batch", 10, "contacts per PUT")
    add_number(parser, "--concurrency", 4, "calls in flight")
    add_number(parser, "--rounds", 9, "rounds")
    add_seed(parser, "the order within the rounds")
    return run_with_options(parser, _work, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
