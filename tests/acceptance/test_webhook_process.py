"""Webhooks with workers as real processes: killed while an event is sent, and with Redis killed under them."""

import json
import os
import signal
from pathlib import Path

from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.webhooks.outbox import CLAIM_TTL_S
from jobs.words.states import Event
from simulator import World
from tests.support.steering import control
from tests.support.sweeping import accept, ended
from tests.support.waiting import until
from tests.support.webhooks import SECRET, answering, hanging, let_time_pass, nothing_waits, receiving
from tests.support.worker_process import process

OF_A_JOB = ["job.started", "job.completed"]


def variables(url: str) -> dict[str, str]:
    return {"CRM_SWEEP_WEBHOOKS": json.dumps([{"name": "hook", "url": url, "secret": SECRET}])}


async def test_killed_between_sending_and_recording_it_loses_nothing_and_keeps_the_order(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(30)) as portal, receiving(hanging) as receiver:
        more = variables(receiver.url)
        async with process("crm-sweep", own_server, portal, tmp_path, more) as worker:
            await until(lambda: own_redis.exists("crm-sweep:webhooks"))
            await accept(own_redis, range(1, 31), job_id="one")
            await ended(own_redis, "one")
            [first] = await receiver.gets(1)
            worker.kill()
            await worker.wait()
        receiver.answers = None
        async with process("arq", own_server, portal, tmp_path, more):
            await let_time_pass(own_redis, CLAIM_TTL_S)
            await nothing_waits(own_redis)
    assert receiver.types == ["job.started", *OF_A_JOB]
    assert receiver.received[1].id == first.id, "receivers can tell that it is the same"


async def test_redis_killed_and_started_again_loses_no_event(
    own_redis: ArqRedis, own_server: EmbeddedServer, tmp_path: Path
) -> None:
    async with (
        simulator.running(World(30)) as portal,
        receiving(answering(500)) as receiver,
        process("crm-sweep", own_server, portal, tmp_path, variables(receiver.url)) as worker,
    ):
        await until(lambda: own_redis.exists("crm-sweep:webhooks"))
        await accept(own_redis, range(1, 31), job_id="one")
        await accept(own_redis, range(1, 31), job_id="two", needs_approval=True)
        await control(own_redis, "two", Event.CANCEL, by="me")
        await ended(own_redis, "one")
        await receiver.gets(2)
        os.kill(own_server.pid, signal.SIGKILL)
        own_server.stop()
        own_server.start()
        receiver.answers = None
        before = len(receiver.received)
        await let_time_pass(own_redis, CLAIM_TTL_S)
        await nothing_waits(own_redis)
        assert worker.returncode is None, "the same worker went on"
    after = receiver.received[before:]
    assert [one.type for one in after if one.job == "one"] == OF_A_JOB
    assert [one.type for one in after if one.job == "two"] == ["job.awaiting_approval", "job.cancelled"]
