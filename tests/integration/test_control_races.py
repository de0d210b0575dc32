"""Several users steer one job at the same moment: each is told the truth, and every step of the job is legal."""

import asyncio
import random

import pytest
from arq.connections import ArqRedis

from jobs.steering.priority import set_priority
from jobs.steering.retry import retry_failed
from jobs.view.actions import Action
from jobs.view.job import read_job
from jobs.words.errors import IllegalMove, JobHasEnded
from jobs.words.priority import Priority
from jobs.words.states import MOVES, Event, State, move
from tests.support.lanes import accept
from tests.support.steering import control

EVENTS = [Event.PAUSE, Event.RESUME, Event.APPROVE, Event.CANCEL]
#: With nothing in flight, a wish becomes a fact immediately.
SETTLED = {State.PAUSING: State.PAUSED, State.CANCELLING: State.CANCELLED}


async def ask(redis: ArqRedis, job_id: str, event: Event, by: str) -> tuple[str, State] | IllegalMove:
    try:
        return by, await control(redis, job_id, event, by=by, lanes=0)
    except IllegalMove as error:
        return error


@pytest.mark.parametrize("seed", range(20))
async def test_everybody_is_told_the_truth_and_every_step_is_legal(redis: ArqRedis, seed: int) -> None:
    chance = random.Random(seed)
    job_id = await accept(redis, range(1, 11), needs_approval=True)
    asked = {str(number): chance.choice(EVENTS[:3] + EVENTS[:3] + EVENTS) for number in range(20)}
    told = await asyncio.gather(*(ask(redis, job_id, event, by) for by, event in asked.items()))
    answers = dict(one for one in told if not isinstance(one, IllegalMove))
    refusals = [one for one in told if isinstance(one, IllegalMove)]
    job = await read_job(redis, job_id)
    state = State.AWAITING_APPROVAL
    for action in job.actions:
        state = move(state, asked[action.by])
        state = SETTLED.get(state, state)
        assert answers.pop(action.by) is state
    assert not answers, "a user was told of a success that is not on record"
    assert state is job.state
    assert all((one.state, one.event) not in MOVES for one in refusals)


async def test_of_two_users_who_retry_the_failed_ones_one_succeeds(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    await control(redis, job_id, Event.CANCEL, by="me", lanes=0)
    told = await asyncio.gather(
        *(retry_failed(redis, job_id, by=str(number), lanes=0) for number in range(5)), return_exceptions=True
    )
    assert all(isinstance(one, IllegalMove) for one in told)


async def test_of_many_priorities_the_last_one_recorded_holds(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    wanted = {str(number): list(Priority)[number % 3] for number in range(19)}
    await asyncio.gather(*(set_priority(redis, job_id, priority, by=by) for by, priority in wanted.items()))
    job = await read_job(redis, job_id)
    last: Action = job.actions[-1]
    assert len(job.actions) == 19
    assert job.priority is wanted[last.by]
    assert job.priority == last.detail


async def test_a_cancel_and_a_priority_at_once_leave_a_cancelled_job(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 11))
    told = await asyncio.gather(
        control(redis, job_id, Event.CANCEL, by="me", lanes=0),
        set_priority(redis, job_id, Priority.URGENT, by="you"),
        return_exceptions=True,
    )
    assert told[0] is State.CANCELLED
    assert told[1] is None or isinstance(told[1], JobHasEnded)
    assert (await read_job(redis, job_id)).state is State.CANCELLED
