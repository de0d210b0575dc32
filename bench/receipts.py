"""`python -m bench receipts`: what a receipt of a very large job costs, and verifying it.

ledger     the ledger written as CSV, for comparison: a receipt reads all of it
receipt    made for the first time, then once more when the roots of its segments are kept
proof      of one contact, with the roots kept
verify     receipt and ledger compared, as `crm-sweep verify` does
bare loop  one SHA-256 over each line of the same file, and nothing else: less is not possible in Python

Every row is a process of its own; its peak is that of the whole process, interpreter and libraries included.
"""

import argparse
import asyncio
import dataclasses
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from arq.connections import ArqRedis
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from bench.contact_lists import SPARSE_HIGHEST, contact_list
from bench.ended_job import make_ended_job
from bench.measure import peak_rss_bytes
from bench.process import embedded_redis
from bench.section import add_number, add_seed, publish, run_section, run_with_options, section_parser, table
from config.redis_url import RedisUrl
from jobs.ledger.export import Format, read_text
from jobs.receipts.documents import read_document, to_json
from jobs.receipts.ledger_file import LedgerFile
from jobs.receipts.make import make_proof, make_receipt
from jobs.receipts.verify import verify
from jobs.store.connection import connect

_JOB = "bench"
_COLUMNS = ("step", "s", "CPU s", "million lines/s", "peak MB")
#: In every process the same one.
_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@dataclass(frozen=True)
class Step:
    """What one step took."""

    name: str
    wall_s: float
    cpu_s: float
    peak_rss_bytes: int


@dataclass(frozen=True)
class _Place:
    """Where a step finds what it needs."""

    redis_url: str
    directory: Path
    contact_id: int

    @property
    def ledger(self) -> Path:
        return self.directory / "ledger.csv"

    @property
    def receipt(self) -> Path:
        return self.directory / "receipt.json"


async def _ledger(redis: ArqRedis, place: _Place) -> None:
    with place.ledger.open("w") as file:
        async for text, _ in read_text(redis, _JOB, Format.CSV):
            file.write(text)


async def _receipt(redis: ArqRedis, place: _Place) -> None:
    place.receipt.write_bytes(to_json(await make_receipt(redis, _JOB, _KEY)))


async def _proof(redis: ArqRedis, place: _Place) -> None:
    verify(await make_proof(redis, _JOB, place.contact_id, _KEY))


async def _verify(_redis: ArqRedis, place: _Place) -> None:
    with place.ledger.open("rb") as file:
        verify(read_document(place.receipt.read_bytes()), ledger=LedgerFile(file))


async def _bare_loop(_redis: ArqRedis, place: _Place) -> None:
    sha256 = hashlib.sha256
    with place.ledger.open("rb") as file:
        for line in file:
            sha256(line).digest()


_STEPS: dict[str, Callable[[ArqRedis, _Place], Coroutine[Any, Any, None]]] = {
    "ledger": _ledger,
    "receipt": _receipt,
    "receipt, kept": _receipt,
    "proof, kept": _proof,
    "verify": _verify,
    "bare loop": _bare_loop,
}


async def _in_this_process(name: str, place: _Place) -> None:
    redis = connect(RedisUrl(place.redis_url))
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    try:
        await _STEPS[name](redis, place)
    finally:
        await redis.aclose(close_connection_pool=True)
    wall_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    peak_bytes = peak_rss_bytes(psutil.Process())
    print(json.dumps(dataclasses.asdict(Step(name, wall_s, cpu_s, peak_bytes))))


def _in_its_own_process(name: str, place: _Place) -> Step:
    command = [sys.executable, "-m", "bench.receipts", "--step", name, place.redis_url, str(place.directory)]
    answer = subprocess.run([*command, str(place.contact_id)], check=True, capture_output=True).stdout
    return Step(**json.loads(answer))


async def _measure(options: argparse.Namespace, command: Sequence[str]) -> None:
    ids = contact_list(options.ids, SPARSE_HIGHEST, seed=options.seed)
    async with embedded_redis() as redis_url:
        redis = connect(RedisUrl(redis_url))
        try:
            await make_ended_job(redis, ids, portal="bench", job_id=_JOB)
        finally:
            await redis.aclose(close_connection_pool=True)
        with tempfile.TemporaryDirectory(prefix="bench-receipts-") as directory:
            place = _Place(redis_url, Path(directory), ids[len(ids) // 2])
            steps = [await asyncio.to_thread(_in_its_own_process, name, place) for name in _STEPS]
    rows = [
        [
            step.name,
            f"{step.wall_s:.2f}",
            f"{step.cpu_s:.2f}",
            f"{options.ids / step.wall_s / 1e6:.2f}" if "kept" not in step.name else "-",
            f"{step.peak_rss_bytes / 1e6:.0f}",
        ]
        for step in steps
    ]
    document = {"ids": options.ids, "steps": [dataclasses.asdict(step) for step in steps]}
    publish(
        f"Receipts of {options.ids:,} contacts",
        [table(_COLUMNS, rows)],
        document,
        command=command,
        json_to=options.json,
    )


def _parser() -> argparse.ArgumentParser:
    parser = section_parser("receipts", __doc__)
    add_number(parser, "--ids", 10_000_000, "contacts of the job")
    add_seed(parser, "the list")
    parser.add_argument("--step", nargs=4, help=argparse.SUPPRESS)
    return parser


def main(argv: Sequence[str]) -> int:
    """Run the section and return the exit code."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.step:
        name, redis_url, directory, contact_id = options.step
        return run_section(_in_this_process(name, _Place(redis_url, Path(directory), int(contact_id))))
    return run_with_options(parser, _measure, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
