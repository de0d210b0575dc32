"""On the page: a job that was submitted with plain arq and that no worker has taken yet."""

import pytest
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from jobs.accept.reject import reject_job
from tests.support.browsing import Screen, settings_with, visiting


async def submit_with_arq(redis: ArqRedis) -> None:
    assert await redis.enqueue_job("delete_contacts", _job_id="mine", portal="main", contact_ids=[1, 2, 3])


def links(screen: Screen) -> set[str]:
    return {link["href"] or "" for link in screen.markup.all("a") if (link["href"] or "").startswith("/jobs/")}


async def test_every_link_leads_somewhere(redis: ArqRedis, server: EmbeddedServer) -> None:
    await submit_with_arq(redis)
    async with visiting(settings_with(server), redis, "") as [person]:
        screen = await person.look("/jobs/mine")
        assert screen.status == 200
        assert links(screen) == {"/jobs/mine/cancel"}, "there is no ledger to look at yet"
        assert (await person.look("/jobs/mine/cancel")).status == 200
        for path in ("/jobs/mine/ledger", "/jobs/mine/ledger?outcome=pending", "/jobs/mine/ledger?format=csv"):
            told = await person.look(path)
            assert told.status == 409
            assert "job mine has no ledger yet: no worker has taken it" in told.text


@pytest.mark.parametrize("button", ["pause", "priority"])
async def test_once_it_was_taken_in_the_ledger_is_offered(redis: ArqRedis, server: EmbeddedServer, button: str) -> None:
    await submit_with_arq(redis)
    async with visiting(settings_with(server), redis, "") as [person]:
        answer = await person.send(f"/jobs/mine/{button}", priority="urgent")
        assert answer.status == 303
        screen = await person.look(answer.location)
        assert links(screen) >= {"/jobs/mine/ledger", "/jobs/mine/ledger?outcome=pending"}
        for path in links(screen):
            assert (await person.look(path)).status == 200


async def test_a_refused_request_has_an_empty_ledger(redis: ArqRedis, server: EmbeddedServer) -> None:
    await reject_job(redis, "wrong", "contact_ids[0]: given 0", by="arq", portal="main")
    async with visiting(settings_with(server), redis, "") as [person]:
        assert links(await person.look("/jobs/wrong")) == set()
        assert "This job has no contacts." in (await person.look("/jobs/wrong/ledger")).text
        assert "No contact of this job has this" in (await person.look("/jobs/wrong/ledger?outcome=deleted")).text
