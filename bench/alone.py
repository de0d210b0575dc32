"""The bare loop and the worker, each measured with a core to itself (see `bench.cores`), which makes runs alike."""

import psutil

from bench import ours
from bench.cores import move
from bench.load import Load
from bench.measure import Measurement, measure
from bench.process import module
from bench.rounds import forget

_BARE_LOOP = ("bench.bare_loop", "msgspec")


async def bare_alone(load: Load, core: int | None) -> Measurement:
    """Measure one run of the best bare loop on a core, against a portal that remembers nothing of an earlier run."""
    await forget(load)
    name, form = _BARE_LOOP
    async with module(name, load.as_argument(), form) as script:
        move(psutil.Process(script.pid), core)
        return await measure(
            load, workers=[script], start=lambda: script.say("go"), settle=lambda: script.expect("^done$")
        )


async def ours_alone(load: Load, core: int | None) -> Measurement:
    """Measure one run of this program, with its worker on a core, as `bare_alone` does."""
    await forget(load)
    async with module(ours.WORKER, load.as_argument()) as worker:
        move(psutil.Process(worker.pid), core)
        return await ours.delete_all(load, worker)


def us_per_call(measured: Measurement) -> float:
    """Return the CPU time of a run per call, in microseconds."""
    return measured.cpu_s * 1e6 / measured.puts
