"""Following jobs: one watcher for all readers, only the newest state, and an end."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

import web.live.job_reader
import web.live.watcher
from cli.embedded import EmbeddedServer
from config.settings import Portal
from jobs.steering.priority import set_priority
from jobs.store import keys
from jobs.store.connection import connect
from jobs.view.job import Job, read_job, read_jobs, to_json
from jobs.words.errors import UnknownJob
from jobs.words.priority import Priority
from jobs.words.states import Event, State
from tests.conftest import settings_for
from tests.support.lanes import accept, answer, start_lane, take, terms
from tests.support.serving import Api, serving
from tests.support.sse import Sent, read_events
from tests.support.steering import control
from tests.support.waiting import until
from web.http.limits import Limits
from web.live.job_reader import JobReader
from web.live.topic import Change, Silence, job_change
from web.live.watcher import Watcher

PORTALS = [Portal(name=name, url="http://127.0.0.1:9", token=SecretStr("t")) for name in ("main", "other")]
EAGER: dict[str, Any] = {"events_every_s": 0.01, "events_patience_s": 30.0, "ending_s": 5.0}


@asynccontextmanager
async def api_of(server: EmbeddedServer, redis: ArqRedis, **limits: Any) -> AsyncIterator[Api]:
    async with serving(settings_for(server, *PORTALS), redis, limits=Limits(**(EAGER | limits))) as api:
        yield api


@asynccontextmanager
async def watcher_of(server: EmbeddedServer, redis: ArqRedis, **limits: Any) -> AsyncIterator[Watcher]:
    watcher = Watcher(redis, settings_for(server, *PORTALS), Limits(**(EAGER | limits)))
    try:
        yield watcher
    finally:
        await watcher.close()


@asynccontextmanager
async def following(api: Api, job_id: str, last: str | None = None) -> AsyncIterator[AsyncIterator[Sent]]:
    """Follow a job; the first thing sent says when to reconnect."""
    headers = {"Last-Event-ID": last} if last else {}
    async with api.client.get(f"/v1/jobs/{job_id}/events", headers=headers) as reply:
        assert (reply.status, reply.headers["Content-Type"]) == (200, "text/event-stream")
        assert reply.headers["Cache-Control"] == "no-store"
        events = read_events(reply)
        assert (await anext(events)).retry == "2000"
        yield events


async def work_off(redis: ArqRedis, job_id: str) -> None:
    ledger = await start_lane(redis, f"lane of {job_id}")
    while not (await read_job(redis, job_id)).ended:
        await answer(redis, ledger, await take(ledger, terms(batch_size=1000)))
    await ledger.release()


async def test_the_first_event_comes_at_once_and_is_the_job(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    async with api_of(server, redis, events_every_s=60.0) as api, following(api, "job") as events:
        sent = await anext(events)
        assert (sent.event, sent.id) == ("job", job_change(await read_job(redis, "job")).version)
        assert sent.data == msgspec.json.decode(to_json(await read_job(redis, "job")))


async def test_a_job_is_followed_to_its_end_and_then_no_more(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    async with api_of(server, redis) as api:
        async with following(api, "job") as events:
            first = await anext(events)
            await work_off(redis, "job")
            seen = [first, *[sent async for sent in events]]
        assert {sent.event for sent in seen} == {"job"}
        assert len({sent.id for sent in seen}) == len(seen), "nothing is sent twice"
        last = seen[-1]
        assert (last.data["state"], last.data["counts"]["deleted"]) == ("completed", 30)
        async with following(api, "job", last=first.id) as events:  # a reader that missed the end is told
            assert [sent async for sent in events] == [last]
        async with api.client.get("/v1/jobs/job/events", headers={"Last-Event-ID": str(last.id)}) as reply:
            assert (reply.status, await reply.read()) == (204, b"")


async def test_the_end_of_a_job_keeps_its_version_while_the_portal_goes_on(redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    await work_off(redis, "job")
    before = job_change(await read_job(redis, "job"))
    await redis.execute_command("HSET", keys.portal("main"), "rate", "0.5", "batch_size", "7")
    after = job_change(await read_job(redis, "job"))
    assert before.json != after.json
    assert before.version == after.version


async def test_the_pace_of_a_job_that_stands_still_is_no_change(redis: ArqRedis) -> None:
    job_id = await accept(redis, range(1, 21))
    lane = await start_lane(redis)
    await answer(redis, lane, await take(lane))
    await control(redis, job_id, Event.PAUSE, by="somebody", lanes=0)
    before = job_change(await read_job(redis, job_id))
    await asyncio.sleep(0.05)
    after = job_change(await read_job(redis, job_id))
    assert before.value.contacts_per_second > after.value.contacts_per_second
    assert before.version == after.version


async def test_what_the_client_has_is_not_sent_again(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    version = job_change(await read_job(redis, "job")).version
    async with api_of(server, redis, events_silence_s=0.05) as api, following(api, "job", last=version) as events:
        assert (await anext(events)).comment == "nothing new"
        await set_priority(redis, "job", Priority.URGENT, by="test")
        sent = await next_event(events)
        assert sent.data["priority"] == "urgent"


async def next_event(events: AsyncIterator[Sent]) -> Sent:
    while True:
        sent = await anext(events)
        if sent.event:
            return sent


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_an_unknown_job_is_a_problem(server: EmbeddedServer, redis: ArqRedis, method: str) -> None:
    async with api_of(server, redis) as api, api.client.request(method, "/v1/jobs/none/events") as reply:
        assert (reply.status, reply.content_type) == (404, "application/problem+json")


async def test_a_head_request_gets_the_headers_alone(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    async with api_of(server, redis) as api:
        async with api.client.head("/v1/jobs/job/events") as reply:
            assert (reply.status, reply.content_type) == (200, "text/event-stream")
            assert await reply.read() == b""
        assert (await api.json("GET", "/v1/jobs/job"))["id"] == "job"


async def test_a_job_that_vanishes_ends_the_stream(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    async with api_of(server, redis) as api, following(api, "job") as events:
        await anext(events)
        await redis.flushall()
        assert [sent async for sent in events] == [Sent(event="gone", data={"id": "job"})]


async def test_streams_outlive_an_outage_of_redis(tmp_path: Path) -> None:
    with EmbeddedServer(tmp_path, fsync="always") as one:
        redis = connect(one.url, patience_s=0.0)
        await accept(redis, range(1, 31), job_id="job")
        async with AsyncExitStack() as stack:
            api = await stack.enter_async_context(api_of(one, redis))
            events = await stack.enter_async_context(following(api, "job"))
            assert (await anext(events)).data["priority"] == "normal"
            one.stop()
            assert (await anext(events)).comment == "the ledger does not answer, waiting"
            with EmbeddedServer(tmp_path, fsync="always") as again:
                assert again.url.get_secret_value() == one.url.get_secret_value()
                await set_priority(redis, "job", Priority.URGENT, by="test")
                assert (await next_event(events)).data["priority"] == "urgent"
        await redis.aclose(close_connection_pool=True)


async def test_there_is_a_bound_on_streams_and_places_come_back(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    async with api_of(server, redis, event_streams=2, events_silence_s=0.05) as api:
        async with following(api, "job") as one, following(api, "job") as two:
            await anext(one)
            await anext(two)
            problem = await api.json("GET", "/v1/jobs/job/events", status=503)
            assert problem["type"].endswith(":too-busy")

        async def is_free() -> bool:
            async with api.client.get("/v1/jobs/job/events") as reply:
                return reply.status == 200

        assert await until(is_free)


async def test_streams_end_at_once_when_the_server_stops(server: EmbeddedServer, redis: ArqRedis) -> None:
    """They end in an orderly way, so that clients reconnect without an alarm."""
    await accept(redis, range(1, 31), job_id="job")
    async with aiohttp.ClientSession() as client, AsyncExitStack() as stack:
        api = await stack.enter_async_context(api_of(server, redis, ending_s=60.0))
        reply = await client.get(f"{api.url}/v1/jobs/job/events")
        events = read_events(reply)
        await anext(events)
        assert (await anext(events)).event == "job"
        stopping = asyncio.create_task(stack.pop_all().aclose())
        assert [sent async for sent in events] == []
        async with asyncio.timeout(30):
            await stopping


async def test_one_read_serves_all_readers_and_without_readers_there_is_none(
    server: EmbeddedServer, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[list[str]] = []

    async def spy(redis: ArqRedis, job_ids: Sequence[str]) -> list[Job | None]:
        looks.append(list(job_ids))
        return await read_jobs(redis, job_ids)

    monkeypatch.setattr(web.live.watcher, "read_jobs", spy)
    names = ["a", "b", "c"]
    for name in names:
        await accept(redis, range(1, 31), job_id=name)
    async with watcher_of(server, redis) as watcher, AsyncExitStack() as stack:
        followers = [
            await stack.enter_async_context(aclosing(watcher.changes(name))) for name in names for _ in range(40)
        ]
        assert all(isinstance(change, Change) for change in await asyncio.gather(*map(anext, followers)))
        assert sorted(look for look in looks if look != names) == [[name] for name in names]
        looks.clear()
        for name in names:
            await set_priority(redis, name, Priority.URGENT, by="test")
        for change in await asyncio.gather(*map(anext, followers)):
            assert isinstance(change, Change)
            assert change.value.priority is Priority.URGENT
        assert all(look == names for look in looks)
        await stack.aclose()
        looking = watcher._looking
        assert looking is not None
        async with asyncio.timeout(10):
            await looking
        looks.clear()
        async with aclosing(watcher.changes("a")) as again:  # and it begins again
            assert isinstance(await anext(again), Change)
            assert looks == [["a"]]


async def test_readers_who_connect_together_share_their_first_read(
    server: EmbeddedServer, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, reads, go_on = 0, 0, asyncio.Event()
    read = JobReader.read

    async def asking(reader: JobReader, job_id: str) -> Job:
        nonlocal asked
        asked += 1
        if asked == 20:
            go_on.set()
        return await read(reader, job_id)

    async def held(*arguments: Any) -> list[Job | None]:
        nonlocal reads
        reads += 1
        await go_on.wait()
        return await read_jobs(*arguments)

    monkeypatch.setattr(JobReader, "read", asking)
    monkeypatch.setattr(web.live.job_reader, "read_jobs", held)
    await accept(redis, range(1, 31), job_id="job")
    async with api_of(server, redis) as api, AsyncExitStack() as stack, asyncio.timeout(20):
        streams = [stack.enter_async_context(following(api, "job")) for _ in range(20)]
        for events in await asyncio.gather(*streams):
            assert (await anext(events)).event == "job"
    assert reads in {1, 2}, "the first, and one for all who came while it was under way"


async def test_a_slow_reader_gets_the_newest_state_alone(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="job")
    async with (
        watcher_of(server, redis) as watcher,
        aclosing(watcher.changes("job")) as slow,
        aclosing(watcher.changes("job")) as quick,
    ):
        await anext(slow)
        await anext(quick)
        seen: list[Change[Job] | Silence] = []
        for priority in (Priority.URGENT, Priority.BACKGROUND, Priority.NORMAL, Priority.URGENT):
            await set_priority(redis, "job", priority, by="test")
            seen.append(await anext(quick))
        assert len(set(map(id, seen))) == 4
        assert await anext(slow) is seen[-1]


async def test_a_bug_in_one_read_does_not_end_the_streams(
    server: EmbeddedServer, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accept(redis, range(1, 31), job_id="job")
    async with watcher_of(server, redis) as watcher, aclosing(watcher.changes("job")) as changes:
        await anext(changes)

        async def stumble(*_: Any) -> None:
            monkeypatch.setattr(web.live.watcher, "read_jobs", read_jobs)
            raise ZeroDivisionError

        monkeypatch.setattr(web.live.watcher, "read_jobs", stumble)
        await set_priority(redis, "job", Priority.URGENT, by="test")
        change = await anext(changes)
        assert isinstance(change, Change)
        assert change.value.priority is Priority.URGENT


async def test_a_read_that_began_earlier_and_ends_later_shows_nothing_old(
    server: EmbeddedServer, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await accept(redis, range(1, 31), job_id="job")
    await accept(redis, range(1, 31), job_id="other")
    has_read, go_on = asyncio.Event(), asyncio.Event()

    async def slow(connection: ArqRedis, job_ids: Sequence[str]) -> list[Job | None]:
        jobs = await read_jobs(connection, job_ids)
        if list(job_ids) == ["job"] and not has_read.is_set():
            has_read.set()
            await go_on.wait()
        return jobs

    async with watcher_of(server, redis) as watcher:
        others, first, second = watcher.changes("other"), watcher.changes("job"), watcher.changes("job")
        async with aclosing(others), aclosing(first), aclosing(second):
            await anext(others)  # from now on all watched jobs are read repeatedly
            monkeypatch.setattr(web.live.watcher, "read_jobs", slow)
            waiting = asyncio.create_task(anext(first))
            await has_read.wait()
            await set_priority(redis, "job", Priority.URGENT, by="test")
            seen = [await anext(second)]
            while isinstance(seen[0], Change) and seen[0].value.priority is Priority.NORMAL:
                seen = [await anext(second)]  # a look between the two had ended already
            go_on.set()
            seen.append(await waiting)
            await set_priority(redis, "job", Priority.BACKGROUND, by="test")
            seen += [await anext(first), await anext(second)]
    told = [one.value.priority for one in seen if isinstance(one, Change)]
    assert told == [Priority.URGENT, Priority.URGENT, Priority.BACKGROUND, Priority.BACKGROUND]


async def test_a_follower_of_an_unknown_job_is_told(server: EmbeddedServer, redis: ArqRedis) -> None:
    async with watcher_of(server, redis) as watcher:
        with pytest.raises(UnknownJob):
            await anext(watcher.changes("none"))


async def test_the_list_is_followed_within_what_the_caller_may_see(server: EmbeddedServer, redis: ArqRedis) -> None:
    await accept(redis, range(1, 31), job_id="old")
    async with (
        watcher_of(server, redis) as watcher,
        aclosing(watcher.list_changes()) as everything,
        aclosing(watcher.list_changes(portals=frozenset({"other"}))) as little,
        aclosing(watcher.list_changes(portals=frozenset())) as nothing,
        aclosing(watcher.list_changes(state=State.CANCELLED)) as cancelled,
    ):
        for changes, ids in ((everything, ["old"]), (little, []), (nothing, []), (cancelled, [])):
            first = await anext(changes)
            assert isinstance(first, Change)
            assert [job.id for job in first.value] == ids
        await accept(redis, range(1, 31), job_id="new")
        await control(redis, "old", Event.CANCEL, by="test")

        async def ids_in(changes: Any, ids: list[str]) -> bool:
            change = await anext(changes)
            return not isinstance(change, Silence) and [job.id for job in change.value] == ids

        assert await until(lambda: ids_in(everything, ["new", "old"]))
        assert await until(lambda: ids_in(cancelled, ["old"]))


async def test_portals_are_followed_within_what_the_caller_may_see(server: EmbeddedServer, redis: ArqRedis) -> None:
    async with watcher_of(server, redis) as watcher:
        for visible, names in ((None, ["main", "other"]), (frozenset({"other"}), ["other"]), (frozenset[str](), [])):
            async with aclosing(watcher.portal_changes(portals=visible)) as changes:
                first = await anext(changes)
                assert isinstance(first, Change)
                assert [portal.name for portal in first.value] == names


async def test_only_what_a_screen_shows_is_read_for_it(
    server: EmbeddedServer, redis: ArqRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: Counter[str] = Counter()

    def counting(name: str, read: Any) -> Any:
        async def counted(*arguments: Any, **options: Any) -> Any:
            reads[name] += 1
            return await read(*arguments, **options)

        return counted

    for name in ("read_jobs", "list_jobs", "read_portals"):
        monkeypatch.setattr(web.live.watcher, name, counting(name, getattr(web.live.watcher, name)))
    await accept(redis, range(1, 31), job_id="job")
    async with watcher_of(server, redis) as watcher:
        for changes, needed in ((watcher.list_changes, "list_jobs"), (watcher.portal_changes, "read_portals")):
            async with aclosing(changes()) as followed:
                await anext(followed)
                reads.clear()
                waiting = asyncio.ensure_future(anext(followed))

                async def looked(needed: str = needed) -> bool:
                    return reads[needed] >= 3

                await until(looked)
                assert set(reads) == {needed}
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
