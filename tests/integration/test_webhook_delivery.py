"""A courier and receivers on real sockets: what is sent, what counts as delivered, and what is tried again."""

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from arq.connections import ArqRedis

from config.settings import Webhook
from jobs.store import keys
from jobs.view.job import read_job
from jobs.webhooks.outbox import CLAIM_TTL_S, GIVE_UP_AFTER_S, MOST_AT_ONCE, announce, claim
from jobs.webhooks.view import WebhookView, read_webhooks
from jobs.words.states import Event
from tests.support.authority import Authority
from tests.support.lanes import accept, answer, start_lane, take, terms
from tests.support.steering import control
from tests.support.webhooks import (
    Answering,
    answering,
    hanging,
    let_time_pass,
    receiving,
    waiting_events,
    webhook,
)
from worker.drain import Drain
from worker.webhooks import courier, post
from worker.webhooks.courier import Courier

BUT_STARTED = ["job.awaiting_approval", "job.cancelled"]


@contextlib.asynccontextmanager
async def courier_for(redis: ArqRedis, *webhooks: Webhook) -> AsyncIterator[Courier]:
    """Announce webhooks, and run a courier whose waits are as short as can be."""
    await announce(redis, webhooks)
    sender = Courier(redis, {one.name: one for one in webhooks}, Drain(), uniform=lambda low, _: low)
    try:
        yield sender
    finally:
        await sender.close()


async def two_events(redis: ArqRedis, job_id: str) -> None:
    """Make a job that waits for approval and is cancelled."""
    await accept(redis, [1, 2], job_id=job_id, needs_approval=True, label="spring")
    await control(redis, job_id, Event.CANCEL, by="me", lanes=0)


async def view_of(redis: ArqRedis, one: Webhook) -> WebhookView:
    [view] = await read_webhooks(redis, [one])
    return view


async def test_events_are_delivered_in_order_with_what_was_true_then(redis: ArqRedis) -> None:
    async with receiving() as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "one")
        assert await sender.deliver("hook") == "done"
        assert receiver.types == BUT_STARTED
        waiting, cancelled = (one.data for one in receiver.received)
        assert (waiting["state"], waiting["state_reason"]) == ("awaiting_approval", "approval")
        assert (waiting["counts"]["pending"], cancelled["counts"]["skipped"]) == (2, 2)
        job = await read_job(redis, "one")
        for name in ("id", "portal", "label", "state", "state_reason", "created_at", "finished_at", "total", "counts"):
            assert cancelled[name] == getattr(job, name)
        view = await view_of(redis, webhook(receiver.url))
        assert (view.waiting, view.delivered, view.failed, view.given_up) == (0, 2, 0, 0)
        assert [(one.event, one.status, one.attempt) for one in view.deliveries] == [
            ("job.cancelled", 204, 1),
            ("job.awaiting_approval", 204, 1),
        ]


async def test_a_repetition_has_the_same_id_and_body_and_a_new_signature(redis: ArqRedis) -> None:
    async with receiving(answering(500, 204)) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await accept(redis, [1], job_id="one", needs_approval=True)
        await sender.deliver("hook")
        await redis.zadd(keys.due_events("hook"), {"one": 0})
        await sender.deliver("hook")
        first, second = receiver.received
        assert (first.id, first.body) == (second.id, second.body)
        assert first.headers["user-agent"].startswith("crm-sweep/")
        assert first.headers["content-type"] == "application/json"


async def oversized(request: web.Request) -> web.StreamResponse:
    """Answer 200, and then with more than anybody wants to read."""
    response = web.StreamResponse()
    await response.prepare(request)
    with contextlib.suppress(ConnectionError):
        for _ in range(1000):
            await response.write(b"x" * 65536)
        await asyncio.Event().wait()
    return response


async def garbage(request: web.Request) -> web.StreamResponse:
    transport = request.transport
    assert transport
    transport.write(b"SMTP 220 hello\r\n\r\n")
    transport.close()
    return await hanging(request)


async def dropping(request: web.Request) -> web.StreamResponse:
    transport = request.transport
    assert transport
    transport.close()
    return await hanging(request)


@pytest.mark.parametrize(
    ("answers", "status", "error"),
    [
        (answering(500), 500, "it answered 500"),
        (answering(404), 404, "it answered 404"),
        (answering(302, headers={"Location": "/elsewhere"}), 302, "it redirects, which is not followed"),
        (answering(307, headers={"Location": "http://127.0.0.1:1/"}), 307, "it redirects, which is not followed"),
        (garbage, None, "its answer is not HTTP"),
        (dropping, None, "it closed the connection without an answer"),
        (hanging, None, "no answer within 0.3 s"),
    ],
)
async def test_whatever_is_not_a_2xx_is_tried_again(
    redis: ArqRedis, answers: Answering, status: int | None, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if answers is hanging:
        monkeypatch.setattr(post, "TIMEOUT_S", 0.3)
    async with receiving(answers) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "one")
        await sender.deliver("hook")
        view = await view_of(redis, webhook(receiver.url))
        [only] = view.deliveries
        assert (only.result, only.status, only.error, only.attempt) == ("failed", status, error, 1)
        assert (view.waiting, len(receiver.received)) == (2, 1), "the second one waits for the first"
        receiver.answers = None
        await let_time_pass(redis, 10)
        await sender.deliver("hook")
        assert receiver.types == [BUT_STARTED[0], *BUT_STARTED]


async def test_an_answer_is_read_no_further_than_its_status(redis: ArqRedis) -> None:
    async with receiving(oversized) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await accept(redis, [1], job_id="one", needs_approval=True)
        async with asyncio.timeout(5):
            await sender.deliver("hook")
        assert (await view_of(redis, webhook(receiver.url))).delivered == 1


async def test_a_receiver_that_is_away_says_so_without_its_address(redis: ArqRedis, log: io.StringIO) -> None:
    hook = webhook("http://127.0.0.1:1/services/T000/secret")
    async with courier_for(redis, hook) as sender:
        await accept(redis, [1], job_id="one", needs_approval=True)
        await sender.deliver("hook")
        [only] = (await view_of(redis, hook)).deliveries
        assert (only.status, only.error) == (None, "it cannot be reached")
    assert "webhook_failed" in log.getvalue()
    assert "T000" not in log.getvalue()
    for key in await redis.keys("crm-sweep:webhook*"):
        assert b"T000" not in await redis.dump(key)


async def test_a_certificate_is_verified(redis: ArqRedis, tmp_path: Any) -> None:
    authority = Authority(tmp_path)
    async with receiving(tls=authority.server()) as receiver:
        untrusted = webhook(receiver.url)
        trusted = webhook(receiver.url, name="trusted", tls_ca_file=str(authority.file))
        async with courier_for(redis, untrusted, trusted) as sender:
            await accept(redis, [1], job_id="one", needs_approval=True)
            await sender.deliver("hook")
            await sender.deliver("trusted")
        [refused] = (await view_of(redis, untrusted)).deliveries
        assert refused.error == "its certificate is not trusted"
        assert (await view_of(redis, trusted)).delivered == 1


async def test_proxies_of_the_environment_are_not_used(redis: ArqRedis, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    async with receiving() as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await accept(redis, [1], job_id="one", needs_approval=True)
        await sender.deliver("hook")
        assert receiver.types == ["job.awaiting_approval"]


async def test_after_a_day_an_event_is_given_up_and_the_next_one_is_sent(redis: ArqRedis, log: io.StringIO) -> None:
    async with receiving(answering(500)) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "one")
        await sender.deliver("hook")
        await let_time_pass(redis, GIVE_UP_AFTER_S)
        receiver.received.clear()
        await sender.deliver("hook")
        assert receiver.types == BUT_STARTED, "each has been tried once more"
        view = await view_of(redis, webhook(receiver.url))
        assert (view.waiting, view.given_up, view.delivered) == (0, 2, 0)
        assert log.getvalue().count("webhook_given_up") == 2


async def test_a_receiver_that_is_gone_gets_each_event_once(redis: ArqRedis) -> None:
    async with receiving(answering(410)) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "one")
        await sender.deliver("hook")
        assert receiver.types == BUT_STARTED
        assert (await view_of(redis, webhook(receiver.url))).given_up == 2


async def test_a_busy_receiver_is_left_alone_as_long_as_it_asks(redis: ArqRedis) -> None:
    busy = answering(503, headers={"Retry-After": "600"})
    async with receiving(busy) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await accept(redis, [1], job_id="one", needs_approval=True)
        await sender.deliver("hook")
        await let_time_pass(redis, 590)
        await sender.deliver("hook")
        assert len(receiver.received) == 1
        await let_time_pass(redis, 11)
        await sender.deliver("hook")
        assert len(receiver.received) == 2


async def test_jobs_do_not_wait_for_each_other(redis: ArqRedis) -> None:
    async def fails_for_one(request: web.Request) -> web.StreamResponse:
        return web.Response(status=500 if (await request.json())["data"]["id"] == "one" else 204)

    async with receiving(fails_for_one) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "one")
        await two_events(redis, "two")
        await sender.deliver("hook")
        assert [one.type for one in receiver.received if one.job == "two"] == BUT_STARTED
        assert [one.type for one in receiver.received if one.job == "one"] == BUT_STARTED[:1]


async def test_no_more_than_a_few_are_sent_at_once_by_all_workers(redis: ArqRedis) -> None:
    go = asyncio.Event()

    async def waits(_: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.Response(status=204)

    async with receiving(waits) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        other = Courier(redis, sender.webhooks, Drain())
        for number in range(3 * MOST_AT_ONCE):
            await accept(redis, [1], job_id=f"job-{number}", needs_approval=True)
        first = asyncio.create_task(sender.deliver("hook"))
        await receiver.gets(MOST_AT_ONCE)
        assert await sender.deliver("hook") == "busy"
        assert await other.deliver("hook") == "done", "all places are taken"
        go.set()
        await first
        await other.close()
        assert receiver.most_open == MOST_AT_ONCE
        assert len({one.id for one in receiver.received}) == len(receiver.received) == 3 * MOST_AT_ONCE


async def test_a_hanging_webhook_does_not_hold_up_another_one(redis: ArqRedis) -> None:
    async with receiving(hanging) as stuck, receiving() as well:
        hooks = webhook(stuck.url, name="stuck"), webhook(well.url, name="well")
        async with courier_for(redis, *hooks) as sender:
            await two_events(redis, "one")
            hanging_one = asyncio.create_task(sender.deliver("stuck"))
            await stuck.gets(1)
            await sender.deliver("well")
            assert well.types == BUT_STARTED
            await stuck.close()
            await hanging_one
        [only] = (await view_of(redis, hooks[0])).deliveries
        assert only.error == "it closed the connection without an answer"


async def test_a_receiver_that_hangs_does_not_keep_a_worker_from_stopping(
    redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(post, "TIMEOUT_S", 600.0)
    monkeypatch.setattr(courier, "LAST_ANSWERS_S", 0.1)
    async with receiving(hanging) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "one")
        delivering = asyncio.create_task(sender.deliver("hook"))
        await receiver.gets(1)
        delivering.cancel()
        async with asyncio.timeout(20):
            await asyncio.wait({delivering})
        receiver.answers = None
        await let_time_pass(redis, CLAIM_TTL_S)
        await sender.deliver("hook")
        assert receiver.types == [BUT_STARTED[0], *BUT_STARTED]


async def test_what_has_left_is_recorded_by_a_worker_that_stops(redis: ArqRedis) -> None:
    go = asyncio.Event()

    async def waits(_: web.Request) -> web.StreamResponse:
        await go.wait()
        return web.Response(status=204)

    async with receiving(waits) as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await accept(redis, [1], job_id="one", needs_approval=True)
        delivering = asyncio.create_task(sender.deliver("hook"))
        await receiver.gets(1)
        delivering.cancel()
        go.set()
        await asyncio.wait({delivering})
        assert (await view_of(redis, webhook(receiver.url))).delivered == 1


async def test_each_webhook_gets_what_it_asked_for(redis: ArqRedis) -> None:
    async with receiving() as receiver:
        hooks = (
            webhook(receiver.url, name="ended", events=["job.completed", "job.cancelled"]),
            webhook(receiver.url, name="elsewhere", portals=["other"]),
        )
        async with courier_for(redis, *hooks) as sender:
            await two_events(redis, "one")
            for hook in hooks:
                await sender.deliver(hook.name)
            assert receiver.types == ["job.cancelled"]


async def test_a_webhook_that_is_configured_later_does_not_get_the_past(redis: ArqRedis) -> None:
    await two_events(redis, "one")
    assert not await redis.keys("crm-sweep:webhook*"), "without webhooks, nothing is kept"
    async with receiving() as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "two")
        await sender.deliver("hook")
        assert {one.job for one in receiver.received} == {"two"}


async def test_an_event_of_a_dead_worker_is_sent_again_after_a_while(redis: ArqRedis) -> None:
    async with receiving() as receiver, courier_for(redis, webhook(receiver.url)) as sender:
        await two_events(redis, "one")
        assert await claim(redis, "hook")  # and never heard of again
        await sender.deliver("hook")
        assert receiver.types == [], "another worker has it, as far as anybody knows"
        await let_time_pass(redis, CLAIM_TTL_S)
        await sender.deliver("hook")
        assert receiver.types == BUT_STARTED


async def test_started_is_told_with_the_first_put(redis: ArqRedis) -> None:
    await announce(redis, [webhook("http://127.0.0.1:1/")])
    await accept(redis, range(1, 31), job_id="one")
    assert await waiting_events(redis, "hook", "one") == []
    lane = await start_lane(redis)
    batch = await take(lane, terms(batch_size=10))
    [started] = await waiting_events(redis, "hook", "one")
    assert (started.type, started.facts["state"], started.facts["n:pending"]) == ("job.started", "running", "30")
    await answer(redis, lane, batch)
    await answer(redis, lane, await take(lane, terms(batch_size=10)))
    assert [event.type for event in await waiting_events(redis, "hook", "one")] == ["job.started"]


async def test_the_outbox_is_bounded(redis: ArqRedis) -> None:
    await announce(redis, [webhook("http://127.0.0.1:1/")])
    fill = "for n = 1, 100000 do redis.call('ZADD', KEYS[1], n, n) end"
    await redis.execute_command("EVAL", fill, 1, keys.unsent("hook"))
    await two_events(redis, "one")
    assert await waiting_events(redis, "hook", "one") == []
    assert (await view_of(redis, webhook("http://127.0.0.1:1/"))).given_up == 2
