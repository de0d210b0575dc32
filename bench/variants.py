"""Every variant that `python -m bench speed` can measure. To add one, write a run function and register it below.

A run function takes a `Load`, starts its worker processes, hands them the work and returns a `Measurement`:

    async def run(load: Load) -> Measurement:
        async with module("my.worker", load.redis_url) as worker:  # waits until it prints "ready"
            return await measure(load, workers=[worker], start=enqueue, settle=until_completed)

The portal is reset and the Redis server emptied before each run. Variants are imported only when asked for, so that one
whose packages are missing does not stop the others.
"""

import asyncio
import importlib
import importlib.util
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from types import ModuleType
from typing import cast

from packaging.requirements import Requirement

from bench.load import Load
from bench.measure import Measurement, measure
from bench.process import module

Run = Callable[[Load], Awaitable[Measurement]]


class VariantMissingError(LookupError):
    """There is no such variant, or something that it needs is not installed."""


async def _script(load: Load, name: str, *options: str) -> Measurement:
    """Measure a program without a queue, written in the frame of `bench.script`."""
    async with module(name, load.as_argument(), *options) as script:
        return await measure(
            load, workers=[script], start=lambda: script.say("go"), settle=lambda: script.expect("^done$")
        )


async def _queue_peer(load: Load, name: str, *options: str) -> Measurement:
    """Measure a peer with a queue; see `bench.peers` for what its module offers."""
    peer = importlib.import_module(name)
    async with module(name, load.as_argument(), *options) as worker:
        return await measure(
            load, workers=[worker], start=lambda: peer.enqueue(load), settle=lambda: _until_finished(peer, load)
        )


async def _until_finished(peer: ModuleType, load: Load) -> None:
    while not await peer.is_finished(load):  # noqa: ASYNC110  # the end of the job shows in Redis, not in this process
        await asyncio.sleep(0.02)


async def _ours(load: Load) -> Measurement:
    """Measure this program itself."""
    run = cast("Run", importlib.import_module("bench.ours").run)
    return await run(load)


@dataclass(frozen=True)
class Variant:
    """A way of deleting contacts that can be measured."""

    summary: str
    run: Run
    module: str  #: where its code is; a variant whose module does not exist yet is listed as such
    requirements: tuple[str, ...] = ()  #: packages of the `bench` extra, written as for pip


def _script_variant(summary: str, name: str, *options: str) -> Variant:
    return Variant(summary, lambda load: _script(load, name, *options), name)


def _peer_variant(summary: str, name: str, *options: str, requirements: tuple[str, ...] = ()) -> Variant:
    return Variant(summary, lambda load: _queue_peer(load, name, *options), name, requirements)


BARE, RAW_JSON = "bare", "raw-json"  # what the others are compared with

VARIANTS: dict[str, Variant] = {
    BARE: _script_variant("best raw client: aiohttp, msgspec, uvloop", "bench.bare_loop", "msgspec"),
    RAW_JSON: _script_variant("plain raw client: aiohttp, json, asyncio", "bench.bare_loop", "json"),
    "script": _script_variant("plain script: semaphore, a task per batch", "bench.peers.plain_script"),
    "arq": _peer_variant("arq, a job per batch, poll_delay 0.02", "bench.peers.arq_job_per_batch", "0.02"),
    "arq-default-poll": _peer_variant(
        "arq, a job per batch, poll_delay 0.5 (its default)", "bench.peers.arq_job_per_batch", "0.5"
    ),
    "saq": _peer_variant("SAQ, a job per batch", "bench.peers.saq_job_per_batch", requirements=("saq[redis]",)),
    "celery": _peer_variant(
        "Celery, a task per batch, prefork 2, requests",
        "bench.peers.celery_job_per_batch",
        requirements=("celery", "kombu[redis]", "requests"),
    ),
    "ours": Variant("this program", _ours, "bench.ours"),
}


def lacking(name: str) -> list[str]:
    """Return what a variant needs but lacks, in words; empty when it can run."""
    variant = VARIANTS[name]
    faults = [fault for text in variant.requirements for fault in _faults(Requirement(text))]
    if importlib.util.find_spec(variant.module) is None:
        faults.append(f"there is no {variant.module}")
    return faults


def _faults(wanted: Requirement) -> Iterator[str]:
    """Yield why a requirement is not met: not installed, or one of its extras needs another version of something.

    The extras matter because Celery's Redis transport refuses versions of redis-py that arq insists on.
    """
    try:
        version(wanted.name)
    except PackageNotFoundError:
        yield f"{wanted.name} is not installed"
        return
    for extra in wanted.extras:
        for line in requires(wanted.name) or ():
            needed = Requirement(line)
            if needed.marker is None or not needed.marker.evaluate({"extra": extra}):
                continue
            try:
                found = version(needed.name)
            except PackageNotFoundError:
                yield f"{needed.name} is not installed"
                continue
            if not needed.specifier.contains(found):
                yield f"{wanted} needs {needed.name}{needed.specifier}, and {found} is installed"


def available() -> list[str]:
    """Return the names of the variants that can run here."""
    return [name for name in VARIANTS if not lacking(name)]


def find(name: str) -> Variant:
    """Look up a variant by name.

    Raises:
        VariantMissingError: It is not registered, or something that it needs is missing.
    """
    if name not in VARIANTS:
        raise VariantMissingError(f"no variant is called {name!r}; there are: {', '.join(VARIANTS)}")
    if faults := lacking(name):
        raise VariantMissingError(f"the variant {name!r} cannot run here: {'; '.join(faults)}")
    return VARIANTS[name]
