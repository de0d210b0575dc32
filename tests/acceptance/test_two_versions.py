"""Workers of two versions side by side, as during an upgrade: other scripts, the same ledger.

The other version is a copy of this one in which every script has another hash, and which adds a field to what it
writes. An older release is not at hand wherever the tests run.
"""

import asyncio
import json
import shutil
import sys
from pathlib import Path

from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.store import keys
from jobs.view.job import list_jobs
from jobs.words.outcomes import Outcome
from jobs.words.states import State
from simulator import Behaviour, World
from tests.support.documents import ROOT
from tests.support.sweeping import accept, check_against_truth, ended
from tests.support.waiting import until
from tests.support.worker_process import environment

SHIPPED = ("config", "jobs", "worker", "restore", "web", "cli", "simulator")

#: Adds a field to a job's hash whenever an outcome is recorded.
_ADDITION = "redis.call('HSET', job, 'mood', 'sunny')\n"
_BEHIND = "local batch = cmsgpack.unpack(ARGV[4])\n"


def other_version(directory: Path) -> Path:
    """Copy the program, and change every script of the copy."""
    for package in SHIPPED:
        shutil.copytree(ROOT / package, directory / package, ignore=shutil.ignore_patterns("__pycache__"))
    for script in directory.rglob("*.lua"):
        script.write_text(script.read_text() + "\n-- of another version\n")
    settle = directory / "jobs" / "store" / "lua" / "settle.lua"
    assert settle.read_text().count(_BEHIND) == 1
    settle.write_text(settle.read_text().replace(_BEHIND, _BEHIND + _ADDITION))
    return directory


async def start(code: Path, log: Path, variables: dict[str, str]) -> asyncio.subprocess.Process:
    with log.open("wb") as stream:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli", "worker", cwd=code, env=variables, stdout=stream, stderr=stream
        )


def batches(log: Path) -> list[str]:
    """Return the kinds of the calls that a worker has made and recorded."""
    lines = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line["call"] for line in lines if line["event"] == "batch"]


async def test_workers_of_two_versions_drive_the_same_portal(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    other = other_version(tmp_path / "other")
    logs = tmp_path / "this.log", tmp_path / "other.log"
    async with simulator.running(World(1000, read_only=30), Behaviour(base_ms=80)) as portal:
        variables = environment(own_server, portal) | {
            "CRM_SWEEP_LOG__FORMAT": "json",
            "CRM_SWEEP_WORKER__SLICE_S": "1",  # so that lanes change hands often
            "CRM_SWEEP_PORTALS__MAIN__BATCH_SIZE_MAX": "20",
            "CRM_SWEEP_PORTALS__MAIN__BATCH_SIZE_START": "20",
        }
        workers = [await start(ROOT, logs[0], variables), await start(other, logs[1], variables)]
        try:

            async def both_are_there() -> bool:
                return int(await own_redis.zcard(keys.WORKERS)) == 2

            await until(both_are_there)
            first, second = [await accept(own_redis, ids, lanes=2) for ids in (range(1, 301), range(301, 601))]
            for job_id in (first, second):
                assert (await ended(own_redis, job_id)).state is State.COMPLETED
            # A worker is replaced in the middle of a job: the one of the other version goes on with it.
            third = await accept(own_redis, range(601, 1001), lanes=2)
            truth = portal.truth
            await truth.until(lambda: len(truth.deleted) > 600 and truth.in_flight > 0, 30)
            workers[0].kill()
            assert (await ended(own_redis, third)).state is State.COMPLETED
            found = await check_against_truth(own_redis, portal, first, second, third)
        finally:
            for worker in workers:
                if worker.returncode is None:
                    worker.kill()
                await worker.wait()
    assert all("put" in batches(log) for log in logs), "both of them worked"
    assert len(found[Outcome.REFUSED]) == 30
    assert len(found[Outcome.DELETED] | found[Outcome.PRESUMED_DELETED]) == 970
    assert {job.id for job in (await list_jobs(own_redis)).jobs} == {first, second, third}
    jobs = (first, second, third)
    assert b"sunny" in [await own_redis.execute_command("HGET", keys.job(job_id), "mood") for job_id in jobs]
    scripts = [line for log in logs for line in log.read_text().splitlines() if "Traceback" in line]
    assert not scripts
