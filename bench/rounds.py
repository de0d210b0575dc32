"""`python -m bench speed`: interleaved rounds of every variant against the same stand-in for a portal.

Machines are noisy, so absolute numbers mean little. Each round runs every variant once, one after another in a shuffled
order; ratios are taken within a round, and the median over the rounds is what matters.
"""

import argparse
import random
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from bench import report
from bench.load import Load
from bench.measure import Measurement
from bench.process import embedded_redis, flush, module
from bench.section import add_number, add_seed, positive, run_with_options, section_parser
from bench.variants import VARIANTS, VariantMissingError, available, find, lacking


@dataclass(frozen=True)
class Model:
    """How the portal behaves, and how many contacts make a run long enough to mean something."""

    summary: str
    base_ms: float
    per_contact_ms: float
    portal_concurrency: int  #: 0 is unlimited
    contacts: int


MODELS = {
    "zero": Model("answers immediately: what the client itself costs", 0, 0, 0, 600_000),
    "realistic": Model("50 ms + 2 ms per contact, 8 batches at a time: what a real portal allows", 50, 2, 8, 32_000),
    "flat": Model("20 ms whatever the batch: what keeping calls in flight is worth", 20, 0, 0, 600_000),
}


@asynccontextmanager
async def stub_portal(
    model: Model, *, element_bytes: int, track_ids: bool = False, listing: int = 0
) -> AsyncIterator[str]:
    """Run a stub portal in a process of its own; yield its address."""
    options = {
        "--base-ms": model.base_ms,
        "--per-contact-ms": model.per_contact_ms,
        "--concurrency": model.portal_concurrency,
        "--element-bytes": element_bytes,
        "--listing": listing,
    }
    arguments = [part for name, value in options.items() for part in (name, str(value))]
    async with module("bench.stub_portal", *arguments, *(["--track-ids"] * track_ids), ready=None) as portal:
        yield await portal.expect("^http://")


async def forget(load: Load) -> None:
    """Have portal and Redis forget everything that an earlier run left."""
    await flush(load.redis_url)
    async with aiohttp.ClientSession(load.portal_url) as session, session.post("/reset") as response:
        response.raise_for_status()


async def run_once(name: str, load: Load) -> Measurement:
    """Run one variant against a portal and a Redis server that remember nothing of the previous run.

    Raises:
        RuntimeError: The portal did not receive every contact exactly once.
    """
    await forget(load)
    measurement = await find(name).run(load)
    if measurement.contacts != load.contacts:
        raise RuntimeError(f"{name} sent {measurement.contacts} contacts instead of {load.contacts}")
    return measurement


async def measure_rounds(load: Load, names: Sequence[str], *, rounds: int, seed: int) -> list[dict[str, Measurement]]:
    """Run every variant once per round, in an order that is shuffled for each round, from the seed."""
    shuffle = random.Random(seed).shuffle
    measured: list[dict[str, Measurement]] = []
    for number in range(1, rounds + 1):
        order = list(names)
        shuffle(order)
        this_round: dict[str, Measurement] = {}
        for name in order:
            this_round[name] = await run_once(name, load)
            rate = this_round[name].contacts_per_s
            print(f"round {number}/{rounds}  {name:18} {rate:12,.0f} contacts/s", file=sys.stderr, flush=True)
        # Tables list the variants in the order asked for, whatever the order in which they ran.
        measured.append({name: this_round[name] for name in names})
    return measured


def add_element_bytes(parser: argparse.ArgumentParser) -> None:
    """Add `--element-bytes`: how much a portal says of each contact that it deletes."""
    parser.add_argument(
        "--element-bytes",
        type=int,
        default=610,
        help="size of one contact in the answer (default: 610, a whole contact; 0: only the ID)",
    )


def _parser() -> argparse.ArgumentParser:
    names = "\n".join(f"  {name:18} {variant.summary}" for name, variant in VARIANTS.items())
    models = "\n".join(f"  {name:18} {model.summary}" for name, model in MODELS.items())
    parser = section_parser(
        "speed",
        "Measure every variant against the same portal, in interleaved rounds.",
        "--model realistic --rounds 5",
        "--model zero --batch 100 --ids 100000 --variants bare,raw-json,arq,ours",
        "--model flat --element-bytes 0 --json flat.json",
        epilog=f"variants:\n{names}\n\nmodels of the portal:\n{models}",
    )
    parser.add_argument("--model", choices=MODELS, default="zero", help="how the portal behaves (default: zero)")
    add_number(parser, "--batch", 1000, "contacts per PUT")
    parser.add_argument("--ids", type=positive, help="contacts per run (default: depends on the model)")
    add_number(parser, "--concurrency", 8, "calls in flight")
    add_number(parser, "--rounds", 5, "rounds")
    parser.add_argument("--variants", help="comma-separated; default: all that can run here")
    add_element_bytes(parser)
    add_seed(parser, "the order within the rounds")
    return parser


async def _speed(options: argparse.Namespace, command: Sequence[str]) -> None:
    names = options.variants.split(",") if options.variants else available()
    for name in names:
        find(name)
    if not options.variants:
        for name in (name for name in VARIANTS if name not in names):
            print(f"without {name}: {'; '.join(lacking(name))}", file=sys.stderr)
    model = MODELS[options.model]
    contacts = options.ids or model.contacts
    facts = report.machine()
    async with embedded_redis() as redis_url, stub_portal(model, element_bytes=options.element_bytes) as portal_url:
        load = Load(portal_url, redis_url, contacts, options.batch, options.concurrency)
        rounds = await measure_rounds(load, names, rounds=options.rounds, seed=options.seed)
    form = f"{options.element_bytes} bytes per contact" if options.element_bytes else "IDs only"
    title = f"{options.model}: {contacts:,} contacts, batch {options.batch}, concurrency {options.concurrency}, {form}"
    print(report.markdown(rounds, title=title, facts=facts, command=command))
    if options.json:
        report.write_json(options.json, rounds, title=title, load=load, facts=facts, command=command)


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code: 0, 1 when a variant failed, 2 for bad usage, 130 when interrupted."""
    try:
        return run_with_options(_parser(), _speed, argv)
    except VariantMissingError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
