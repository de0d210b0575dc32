"""`python -m bench profile`: where the microseconds of a call go, in the worker and in Redis.

CPU times are those of undisturbed runs, in rounds with the bare loop; one more run of the worker under a sampler says
how its time is divided. Lua scripts are timed by Redis itself.
"""

import argparse
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from bench import ours
from bench.alone import bare_alone, us_per_call
from bench.cores import move, one_core_free
from bench.flame_graph import draw
from bench.load import Load
from bench.process import embedded_redis, module
from bench.profile_tables import Profile, profile_of, tables
from bench.redis_load import load_of
from bench.rounds import MODELS, add_element_bytes, forget, stub_portal
from bench.sampled import sampled, sampled_process
from bench.script_times import ScriptTime, script_times, watch_scripts
from bench.section import add_number, positive, publish, run_with_options, section_parser
from bench.stacks import Stack, read_stacks
from jobs.store.connection import connect


@dataclass(frozen=True)
class Round:
    """One undisturbed run of the bare loop, and one of the worker; times are CPU microseconds per call."""

    bare_us: float
    worker_us: float
    redis_us: float
    scripts: Mapping[str, ScriptTime]
    calls: int


async def _round(load: Load, core: int | None) -> Round:
    bare = await bare_alone(load, core)
    await forget(load)
    redis = connect(ours.settings_for(load).redis)
    try:
        async with module(ours.WORKER, load.as_argument()) as worker:
            move(psutil.Process(worker.pid), core)
            await watch_scripts(redis)
            before = await load_of(redis)
            measured = await ours.delete_all(load, worker)
            used = (await load_of(redis)).since(before)
            scripts = await script_times(redis)
    finally:
        await redis.aclose(close_connection_pool=True)
    calls = measured.puts
    return Round(us_per_call(bare), us_per_call(measured), used.cpu_s * 1e6 / calls, scripts, calls)


async def _sample(load: Load, core: int | None, per_second: int) -> Mapping[Stack, int]:
    await forget(load)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        to = Path(folder) / "stacks"
        async with sampled(ours.WORKER, load.as_argument(), per_second=per_second, to=to) as child:
            move(sampled_process(child), core)
            await ours.delete_all(load, child)
        return read_stacks(to.read_text())


async def _profile(load: Load, core: int | None, options: argparse.Namespace) -> tuple[Profile, Mapping[Stack, int]]:
    rounds = []
    for number in range(1, options.rounds + 1):
        rounds.append(one := await _round(load, core))
        told = f"bare loop {one.bare_us:.0f}, worker {one.worker_us:.0f}, Redis {one.redis_us:.0f} us/call"
        print(f"batches of {load.batch}, round {number}/{options.rounds}: {told}", file=sys.stderr, flush=True)
    print(f"batches of {load.batch}: sampling", file=sys.stderr, flush=True)
    stacks = await _sample(load, core, options.rate)
    if not stacks:
        raise RuntimeError("the sampler saw nothing of the worker; give it more --calls")
    profile = profile_of(
        batch=load.batch,
        calls=rounds[-1].calls,
        bare_us=statistics.median(each.bare_us for each in rounds),
        worker_us=statistics.median(each.worker_us for each in rounds),
        redis_us=statistics.median(each.redis_us for each in rounds),
        scripts=rounds[-1].scripts,
        stacks=stacks,
    )
    return profile, stacks


def _title(profile: Profile) -> str:
    return f"A lane's CPU time, batches of {profile.batch}: {profile.worker_us:,.0f} µs per call"


async def _work(options: argparse.Namespace, command: Sequence[str]) -> None:
    profiles = []
    with one_core_free() as core:
        async with (
            embedded_redis() as redis,
            stub_portal(MODELS["zero"], element_bytes=options.element_bytes) as portal,
        ):
            base = Load(portal, redis, contacts=0, batch=0, concurrency=options.concurrency)
            for batch in options.batch:
                load = replace(base, contacts=batch * options.calls, batch=batch)
                profile, stacks = await _profile(load, core, options)
                profiles.append(profile)
                if options.images:
                    options.images.mkdir(parents=True, exist_ok=True)
                    svg = draw(stacks, title=_title(profile), us_per_call=profile.worker_us)
                    (options.images / f"profile-{batch}.svg").write_text(svg)
    publish(
        f"profile: {options.calls:,} calls, {options.concurrency} in flight, {options.rounds} rounds",
        tables(profiles, options.rows),
        {"own_core": core is not None, "profiles": [asdict(each) for each in profiles]},
        command=command,
        json_to=options.json,
    )


def main(argv: Sequence[str]) -> int:
    """Run the section, and return its exit code."""
    parser = section_parser(
        "profile",
        "Say where the CPU time of a call goes, by library, function and Lua script, beside that of a bare loop.",
        "--images docs/images",
        "--batch 100 --calls 20000 --rows 30",
    )
    parser.add_argument(
        "--batch", type=positive, nargs="+", default=[1000, 100], help="contacts per PUT (default: 1000 100)"
    )
    add_number(parser, "--calls", 8000, "calls per run")
    add_number(parser, "--concurrency", 8, "calls in flight")
    add_number(parser, "--rounds", 3, "undisturbed rounds")
    add_number(parser, "--rate", 200, "samples per second")
    add_number(parser, "--rows", 20, "functions shown")
    parser.add_argument("--images", type=Path, metavar="DIR", help="also draw a flame graph of each batch size there")
    add_element_bytes(parser)
    return run_with_options(parser, _work, argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
