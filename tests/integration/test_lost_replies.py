"""What a user asked for is done once and reported truthfully, even if Redis has done it and its reply got lost."""

from collections.abc import AsyncIterator

import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.accept.submit import CREATE_JOB, submit
from jobs.steering.control import CONTROL
from jobs.steering.limits import SET_LIMITS, set_limits
from jobs.steering.priority import SET_PRIORITY, set_priority
from jobs.store import keys
from jobs.store.connection import connect
from jobs.view.job import read_job
from jobs.view.portal import read_portal
from jobs.words.errors import IllegalMove
from jobs.words.priority import Priority
from jobs.words.states import Event, State
from tests.support.lanes import PORTAL, accept
from tests.support.redis_proxy import Proxy, losing_replies
from tests.support.steering import control
from tests.support.submitting import request

#: The events that lead to a state where the event is allowed, and the state after it.
WAY: dict[Event, tuple[list[Event], State]] = {
    Event.APPROVE: ([], State.QUEUED),
    Event.PAUSE: ([], State.PAUSED),
    Event.RESUME: ([Event.PAUSE], State.QUEUED),
    Event.CANCEL: ([], State.CANCELLED),
}


@pytest.fixture
async def proxy(server: EmbeddedServer) -> AsyncIterator[Proxy]:
    async with losing_replies(server) as proxy:
        yield proxy


@pytest.fixture
async def unlucky(redis: ArqRedis, proxy: Proxy) -> AsyncIterator[ArqRedis]:
    """Open a connection on which replies get lost."""
    for script in (CONTROL, CREATE_JOB, SET_LIMITS, SET_PRIORITY):
        await redis.script_load(script.source)  # otherwise, the reply that gets lost would be that they are not known
    unlucky = connect(proxy.url)
    yield unlucky
    await unlucky.aclose(close_connection_pool=True)


@pytest.mark.parametrize("event", WAY)
async def test_the_caller_is_told_that_it_was_done_and_it_is_on_record_once(
    unlucky: ArqRedis, proxy: Proxy, event: Event
) -> None:
    before, state = WAY[event]
    job_id = await accept(unlucky, [1, 2, 3], needs_approval=event is Event.APPROVE)
    for step in before:
        await control(unlucky, job_id, step, by="test", lanes=0)
    proxy.lose_reply(b"the unlucky one")
    assert await control(unlucky, job_id, event, by="the unlucky one", lanes=0) is state
    assert proxy.lost
    job = await read_job(unlucky, job_id)
    assert job.state is state
    assert [one.action for one in job.actions if one.by == "the unlucky one"] == [event]


@pytest.mark.parametrize(
    ("before", "first", "then", "state"),
    [
        ([Event.PAUSE], Event.RESUME, Event.PAUSE, b"paused"),
        ([], Event.PAUSE, Event.RESUME, b"queued"),
        ([], Event.PAUSE, Event.CANCEL, b"cancelled"),
    ],
)
async def test_a_second_try_does_not_undo_what_somebody_else_has_asked_for_since(
    redis: ArqRedis, before: list[Event], first: Event, then: Event, state: bytes
) -> None:
    job_id = await accept(redis, [1, 2, 3])
    for event in before:
        await control(redis, job_id, event, by="test", lanes=0)
    keys_of = [keys.job(job_id), keys.portal(PORTAL)]
    request = [job_id, first, "operator", "anna", "her token", "{}", "[]"]
    await CONTROL(redis, keys_of, request)
    await control(redis, job_id, then, by="ben", lanes=0)
    assert (await CONTROL(redis, keys_of, request))[:2] == [b"ok", state]
    job = await read_job(redis, job_id)
    assert job.state == state.decode()
    assert [one.action for one in job.actions] == [*before, first, then]


async def test_somebody_else_who_asks_for_the_same_is_refused(unlucky: ArqRedis) -> None:
    job_id = await accept(unlucky, [1, 2, 3])
    await control(unlucky, job_id, Event.PAUSE, by="one", lanes=0)
    with pytest.raises(IllegalMove):
        await control(unlucky, job_id, Event.PAUSE, by="one", lanes=0)


async def test_a_priority_is_on_record_once(unlucky: ArqRedis, proxy: Proxy) -> None:
    job_id = await accept(unlucky, [1, 2, 3])
    proxy.lose_reply(b"the unlucky one")
    await set_priority(unlucky, job_id, Priority.URGENT, by="the unlucky one")
    assert proxy.lost
    assert [one.action for one in (await read_job(unlucky, job_id)).actions] == ["priority"]


async def test_limits_are_on_record_once(unlucky: ArqRedis, proxy: Proxy) -> None:
    portal = Portal.model_validate({"name": PORTAL, "url": "http://127.0.0.1:9", "token": "t"})
    proxy.lose_reply(b"the unlucky one")
    await set_limits(unlucky, portal, by="the unlucky one", requests_per_second=2.0)
    assert proxy.lost
    view = await read_portal(unlucky, portal)
    assert (view.requests_per_second, len(view.actions)) == (2.0, 1)


async def test_a_job_that_was_accepted_is_called_new(unlucky: ArqRedis, proxy: Proxy) -> None:
    """Its lanes are woken as well."""
    submission = request(portal=PORTAL, ids=BitMap([1, 2, 3]), job_id="mine", by="the unlucky one")
    proxy.lose_reply(b"the unlucky one")
    assert (await submit(unlucky, submission)).created
    assert proxy.lost
    assert not (await submit(unlucky, submission)).created
    assert [one.action for one in (await read_job(unlucky, "mine")).actions] == ["submit"]
