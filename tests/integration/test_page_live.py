"""Screens that stay current: what their events contain, and when they end."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from arq.connections import ArqRedis
from pyroaring import BitMap

from cli.embedded import EmbeddedServer
from jobs.accept.submit import submit
from jobs.steering.limits import set_limits
from jobs.steering.switch import Switch, switch
from jobs.store import keys
from jobs.words.states import Event
from tests.support.browsing import Markup, Person, api_key, settings_with, visiting
from tests.support.steering import control
from tests.support.submitting import request
from web.page.render import fragment


class Events:
    """The events of a screen, as a browser gets them."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self.shown: dict[str, str] = {}

    async def next(self) -> tuple[str, Any]:
        """Wait for the next event, and return its name and data."""
        name = ""
        async with asyncio.timeout(20):
            async for raw in self._answer.content:
                field, _, value = raw.decode().rstrip("\n").partition(": ")
                if field == "event":
                    name = value
                elif field.startswith("data"):
                    return name, json.loads(value) if value else None
        return "closed", None

    async def until_shown(self, part: str, text: str) -> str:
        """Wait until a part of the screen shows a text."""
        while text not in Markup(self.shown.get(part, "")).text:
            name, parts = await self.next()
            assert name == "parts", name
            self.shown |= parts
        return self.shown[part]


@contextlib.asynccontextmanager
async def watching(person: Person, path: str) -> AsyncIterator[Events]:
    headers = {"Accept": "text/event-stream"}
    async with person.client.get(path, headers=headers) as answer:
        assert (answer.status, answer.content_type) == (200, "text/event-stream")
        yield Events(answer)


async def a_job(redis: ArqRedis, label: str = "spring", portal: str = "main") -> str:
    return (await submit(redis, request(portal=portal, ids=BitMap([1, 2, 3]), label=label))).job_id


async def test_one_job_stays_current(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with (
        visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna],
        watching(anna, f"/jobs/{job_id}/events") as events,
    ):
        first = await events.until_shown("progress", "Queued")
        assert "No worker is running" in Markup(first).text
        assert set(events.shown) == {
            "progress", "controls", "canary", "plan", "bundle", "outcomes", "facts", "plots", "answers", "actions",
            "title", "announce", "stops",
        }  # fmt: skip
        await control(redis, job_id, Event.PAUSE, by="ben")
        name, parts = await events.next()
        assert name == "parts"
        assert "Paused" in Markup(parts["progress"]).text
        assert "Resume" in Markup(parts["controls"]).text
        assert "ben paused it" in Markup(parts["actions"]).text
        assert parts["announce"] == "Paused. ben paused it."
        assert "outcomes" not in parts, "what has not changed is not sent again"


async def test_what_is_announced_changes_with_the_state_alone(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with (
        visiting(settings_with(server), redis, "") as [person],
        watching(person, f"/jobs/{job_id}/events") as events,
    ):
        await events.until_shown("progress", "Queued")
        await redis.execute_command("HSET", keys.job(job_id), "n:deleted", 1, "n:pending", 2, "sent", 1)
        _, parts = await events.next()
        assert "1 deleted" in Markup(parts["progress"]).text
        assert "announce" not in parts


async def test_a_job_that_ended_is_followed_when_it_goes_on(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    await control(redis, job_id, Event.CANCEL, by="ben")
    async with (
        visiting(settings_with(server), redis, "") as [person],
        watching(person, f"/jobs/{job_id}/events") as events,
    ):
        await events.until_shown("progress", "Cancelled")
        await redis.execute_command("HSET", keys.job(job_id), "state", "queued")
        await events.until_shown("progress", "Queued")


async def test_a_forgotten_job_ends_its_events(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with (
        visiting(settings_with(server), redis, "") as [person],
        watching(person, f"/jobs/{job_id}/events") as events,
    ):
        await events.until_shown("progress", "Queued")
        await redis.unlink(keys.job(job_id))
        assert await events.next() == ("ended", None)
        assert await events.next() == ("closed", None)


async def test_logging_out_ends_the_events(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with (
        visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna],
        watching(anna, f"/jobs/{job_id}/events") as events,
    ):
        await events.until_shown("progress", "Queued")
        await anna.send("/logout")
        await control(redis, job_id, Event.PAUSE, by="ben")
        assert await events.next() == ("ended", None)


async def test_the_list_sends_the_rows_that_change(redis: ArqRedis, server: EmbeddedServer) -> None:
    older = await a_job(redis, "older")
    async with visiting(settings_with(server), redis, "") as [person], watching(person, "/events") as events:
        await events.until_shown("jobs", "older")
        newer = await a_job(redis, "newer")
        await events.until_shown("jobs", "newer")
        await control(redis, older, Event.PAUSE, by="ben")
        await events.until_shown(f"job-{older}", "Paused")
        await control(redis, older, Event.RESUME, by="ben")
        events.shown.clear()
        await events.until_shown(f"job-{older}", "Queued")
        assert f"job-{newer}" not in events.shown


async def test_a_change_of_a_portal_renders_no_list_and_a_change_of_a_job_one_row(
    redis: ArqRedis, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered: Counter[str] = Counter()

    def counted(request: web.Request, template: str, **values: Any) -> str:
        rendered[template] += 1
        return fragment(request, template, **values)

    monkeypatch.setattr("web.page.job_screens.fragment", counted)
    jobs = [await a_job(redis, f"job {number}") for number in range(5)]
    settings = settings_with(server)
    async with visiting(settings, redis, "") as [person], watching(person, "/events") as events:
        await events.until_shown("jobs", "job 4")
        async with watching(person, "/portals/events") as portals:
            for rate in (2.5, 1.5):
                await set_limits(redis, settings.portals["main"], by="ben", requests_per_second=rate)
                await redis.execute_command("HSET", keys.portal("main"), "batch_size", round(100 * rate))
                await portals.until_shown("pacing-main", f"of at most {rate} calls/s")
        await control(redis, jobs[2], Event.PAUSE, by="ben")
        await events.until_shown(f"job-{jobs[2]}", "Paused")
        assert rendered == {"_jobs.html": 1, "_job_row.html": 1}


async def test_a_row_that_is_again_as_it_was_is_sent_again(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis, "first")
    async with visiting(settings_with(server), redis, "") as [person], watching(person, "/events") as events:
        await events.until_shown("jobs", "first")
        await redis.execute_command("HSET", keys.job(job_id), "state", "running")
        await events.until_shown(f"job-{job_id}", "Running")
        pipe = redis.pipeline(transaction=True)
        pipe.execute_command("HSET", keys.job(job_id), "state", "queued")
        pipe.execute_command("ZREM", keys.JOBS, await a_job(redis, "second"))
        await events.until_shown("jobs", "second")
        await pipe.execute()
        events.shown.clear()
        await events.until_shown("jobs", "first")
        await redis.execute_command("HSET", keys.job(job_id), "state", "running")
        await events.until_shown(f"job-{job_id}", "Running")


@pytest.mark.parametrize("query", ["?portal=main", "?state=queued&portal=main"])
async def test_the_list_keeps_to_its_filter(redis: ArqRedis, server: EmbeddedServer, query: str) -> None:
    await a_job(redis, "of-other", "other")
    async with visiting(settings_with(server), redis, "") as [person]:
        screen = await person.look(f"/{query}")
        [live] = [element["data-live"] or "" for _, element in screen.markup.elements if "data-live" in element]
        async with watching(person, live) as events:
            await a_job(redis, "spring")
            html = await events.until_shown("jobs", "spring")
            assert "of-other" not in html


async def test_older_pages_of_the_list_stand_still(redis: ArqRedis, server: EmbeddedServer) -> None:
    for number in range(45):
        await a_job(redis, f"job-number-{number}.")
    async with visiting(settings_with(server), redis, "") as [person]:
        seen: list[str] = []
        path = "/"
        while path:
            screen = await person.look(path)
            seen += [word for word in screen.text.split() if word.startswith("job-number-")]
            lives = [element["data-live"] for _, element in screen.markup.elements if "data-live" in element]
            assert bool(lives) is (path == "/")
            path = next((link["href"] or "" for link in screen.markup.all("a", rel="next")), "")
    assert len(seen) == len(set(seen)) == 45


async def test_portals_stay_current_and_their_forms_untouched(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna"))
    async with visiting(settings, redis, "anna") as [anna], watching(anna, "/portals/events") as events:
        await events.until_shown("pacing-main", "of at most 5 calls/s")
        assert {part.partition("-")[0] for part in events.shown} == {
            "standing",
            "pacing",
            "answers",
            "actions",
            "stops",
        }
        await set_limits(redis, settings.portals["main"], by="ben", requests_per_second=2.5)
        await events.until_shown("pacing-main", "of at most 2.5 calls/s")
        await events.until_shown("actions-main", "ben set the limits")


async def test_every_live_screen_says_at_once_that_deletions_are_stopped(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    settings = settings_with(server, api_key("anna"))
    paths = "/events", "/portals/events", f"/jobs/{await a_job(redis)}/events"
    async with visiting(settings, redis, "anna") as [anna], contextlib.AsyncExitStack() as stack:
        screens = [await stack.enter_async_context(watching(anna, path)) for path in paths]
        for events in screens:
            name, parts = await events.next()
            assert (name, Markup(parts["stops"]).text) == ("parts", "")
        await switch(redis, Switch.STOP, list(settings.portals.values()), of_all=True, by="ben")
        for events in screens:
            await events.until_shown("stops", "Deletions are stopped at all portals by ben")


async def test_events_end_with_the_server(redis: ArqRedis, server: EmbeddedServer) -> None:
    job_id = await a_job(redis)
    async with aiohttp.ClientSession() as reader:
        async with visiting(settings_with(server), redis, "") as [person]:
            answer = await reader.get(f"{person.url}/jobs/{job_id}/events")
            events = Events(answer)
            await events.until_shown("progress", "Queued")
        # The server has stopped in an orderly way, with the reader still connected.
        assert (await events.next())[0] == "closed"
