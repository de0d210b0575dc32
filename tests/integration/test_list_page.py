"""The client reads the simulated portal's listing, and a walk through it while contacts come and go misses none."""

import random
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from datetime import date
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from pyroaring import BitMap

import simulator
from config.portal import Portal
from jobs.words.filters import Filter, View
from simulator import Behaviour, Fault, World
from tests.support.envelopes import as_json, envelope
from tests.support.raw_portal import Behave, RawPortal, answer, raw_portal
from worker.portal_answers import Failure, Page, Remedy
from worker.portal_client import NOT_SENT, PortalClient
from worker.records import matches
from worker.token_store import LocalTokenStore
from worker.walk import Walk

EVERYTHING = Filter(everything=True)


async def _pace() -> None:
    return None


@asynccontextmanager
async def listing_of(
    world: World, behaviour: Behaviour | None = None, faults: list[Fault] | None = None, **settings: Any
) -> AsyncIterator[tuple[PortalClient, simulator.Portal]]:
    async with simulator.running(world, behaviour, faults) as portal:
        config = Portal.model_validate(
            {"name": "main", "url": portal.url, "token": portal.behaviour.token, "request_timeout_s": 10.0, **settings}
        )
        client = PortalClient(config, LocalTokenStore(), _pace)
        try:
            yield client, portal
        finally:
            await client.close()


async def walked(
    client: PortalClient, selection: Filter, page_size: int, between: Callable[[], None] = lambda: None
) -> list[int]:
    """Return the contacts that a walk takes and that match; something happens between its pages."""
    walk, taken = Walk(page_size=page_size), list[int]()
    while not walk.finished:
        asked = walk.request()
        page = await client.list_page(asked.start_index, asked.count, selection)
        assert isinstance(page, Page), page
        new = walk.feed(page)
        assert isinstance(new, tuple), new
        taken += [contact.id for contact in new if matches(selection, contact)]
        between()
    return taken


@pytest.mark.parametrize("casing", ["camel", "pascal", "upper_id"])
@pytest.mark.parametrize("envelope_casing", ["camel", "pascal"])
@pytest.mark.parametrize("answer_format", ["json", "xml"])
async def test_a_page_holds_what_the_portal_knows(casing: Any, envelope_casing: Any, answer_format: str) -> None:
    world = World(50, read_only=[7], invoiced=[8], invisible=[9], tagged={"trash": [6, 7], "a, b": [7]})
    behaviour = Behaviour(casing=casing, envelope_casing=envelope_casing)
    async with listing_of(world, behaviour, answer_format=answer_format) as (client, _):
        page = await client.list_page(5, 4, EVERYTHING)
    assert isinstance(page, Page)
    assert [contact.id for contact in page.contacts] == [6, 7, 8, 10]
    assert [(contact.can_edit, contact.can_delete) for contact in page.contacts] == [
        (True, True), (False, False), (True, False), (True, True)
    ]  # fmt: skip
    assert [set(contact.tags) for contact in page.contacts] == [{"trash"}, {"trash", "a, b"}, set(), set()]
    assert [contact.is_company for contact in page.contacts] == [False, False, True, False]
    assert all(contact.has_email and contact.display_name for contact in page.contacts)
    assert (page.count, page.next_index) == (4, 10)


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Filter(tags=("trash",)), range(1, 2001)),
        (Filter(tags=("trash", "Müll & Söhne #1")), range(1000, 2001)),
        (Filter(tags=("a, b",)), [5, 6]),
        (Filter(tags=("trash",), without_tags=("A, B",)), [each for each in range(1, 2001) if each not in {5, 6}]),
        (Filter(view=View.COMPANY), range(3, 3001, 5)),
        (Filter(created_from=date(2010, 1, 1), created_to=date(2010, 1, 1)), range(1, 3001)),
        (Filter(created_to=date(2009, 12, 31)), []),
        (Filter(without_email=True), []),
    ],
)
async def test_a_filter_selects_exactly_what_it_says(selection: Filter, expected: Any) -> None:
    tagged: dict[str, Iterable[int]] = {"trash": range(1, 2001), "Müll & Söhne #1": range(1000, 3001), "a, b": [5, 6]}
    async with listing_of(World(3000, tagged=tagged)) as (client, _):
        assert await walked(client, selection, 1000) == list(expected)


@pytest.mark.parametrize("seed", range(8))
async def test_whatever_stays_while_contacts_come_and_go_is_taken_exactly_once(seed: int) -> None:
    chance = random.Random(seed)
    world = World(3000, tagged={"trash": range(1, 3001)})
    trash = world.tagged["trash"]
    stays, newest = trash.copy(), 3000

    def between() -> None:
        nonlocal newest
        gone = BitMap(chance.sample(list(world.alive), min(len(world.alive), chance.choice([0, 3, 300, 900]))))
        untagged = BitMap(chance.sample(list(trash), min(len(trash), 20)))
        world.delete(gone)
        world.tagged["trash"] -= untagged
        created = range(newest + 1, newest + 1 + chance.randrange(30))
        newest += len(created)
        world.create(created)
        world.tagged["trash"] |= BitMap(created)
        stays.intersection_update(world.alive & world.tagged["trash"])

    async with listing_of(world, Behaviour(page_limit=chance.choice([1000, 70]))) as (client, _):
        taken = await walked(client, Filter(tags=("trash",)), 100, between)
    assert taken == sorted(set(taken))
    assert stays <= BitMap(taken)
    assert len(taken) > len(stays) or not stays


async def test_a_failed_envelope_is_a_failure() -> None:
    faults = [
        Fault(calls=["listing"], fault="unavailable", retry_after_s=7, next_calls=1),
        Fault(calls=["listing"], fault="error", status=500, next_calls=1),
    ]
    async with listing_of(World(5), None, faults) as (client, _):
        busy = await client.list_page(0, 10, EVERYTHING)
        broken = await client.list_page(0, 10, EVERYTHING)
        assert isinstance(await client.list_page(0, 10, EVERYTHING), Page)
    assert isinstance(busy, Failure)
    assert (busy.action, busy.retry_after_s, busy.may_have_deleted) == (Remedy.SLOW_DOWN, 7.0, False)
    assert isinstance(broken, Failure)
    assert (broken.http_status, broken.may_have_deleted) == (500, False)


@asynccontextmanager
async def scripted(*script: Behave, **settings: object) -> AsyncIterator[tuple[PortalClient, RawPortal]]:
    async with raw_portal(*script) as portal:
        client = PortalClient(portal.config(**settings), LocalTokenStore(), _pace)
        try:
            yield client, portal
        finally:
            await client.close()


def page_of(*ids: int, **fields: object) -> str:
    items = [
        {
            "id": each,
            "displayName": "Ann",
            "isCompany": False,
            "canEdit": True,
            "canDelete": True,
            "created": "2024-01-31T00:00:00.0000000Z",
            "commonData": [],
        }
        for each in ids
    ]
    return as_json(envelope(items, **fields)).decode()


@pytest.mark.parametrize("ids", [(2, 1), (1, 1), (1, 3, 2)])
async def test_a_page_out_of_order_stops_everything(ids: tuple[int, ...]) -> None:
    async with scripted(answer(200, page_of(*ids))) as (client, _):
        failure = await client.list_page(0, 10, EVERYTHING)
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason, failure.may_have_deleted) == (Remedy.STOP, "portal_protocol", False)


@pytest.mark.parametrize("body", [page_of(1, 2, count=3), page_of(1).replace("canDelete", "x"), "<html></html>", "{}"])
async def test_a_page_that_is_not_whole_is_asked_for_again(body: str) -> None:
    async with scripted(answer(200, body), answer(200, page_of(1))) as (client, _):
        failure = await client.list_page(0, 10, EVERYTHING)
        page = await client.list_page(0, 10, EVERYTHING)
    assert isinstance(failure, Failure)
    assert (failure.action, failure.reason) == (Remedy.RETRY, "answer_garbled")
    assert isinstance(page, Page)


async def test_one_page_is_one_get_that_fits_the_request_line() -> None:
    selection = Filter(tags=tuple(f"{each}{'ü' * 60}" for each in range(20)), view=View.PERSON)
    async with scripted(answer(200, page_of()), lookup_url_max_chars=2000) as (client, portal):
        assert await client.list_page(20, 500, selection) == Page(())
    [request] = portal.requests
    assert (request.method, request.body) == ("GET", b"")
    assert len(request.target) <= 2000
    query = parse_qsl(urlsplit(request.target).query)
    assert query[:5] == [
        ("sortBy", "id"), ("sortOrder", "ascending"), ("count", "500"), ("startIndex", "20"),
        ("contactListView", "Person"),
    ]  # fmt: skip
    assert query[5:] == [("tags", tag) for tag in selection.tags[: len(query) - 5]]
    assert query[5:]


async def never() -> bool:
    return False


async def test_nothing_is_sent_that_may_not_be_or_makes_no_sense() -> None:
    async with scripted(answer(200, page_of())) as (client, portal):
        assert await client.list_page(0, 10, EVERYTHING, may_send=never) is NOT_SENT
        for start_index, count in ((-1, 10), (0, 0), (0, 1001)):
            with pytest.raises(ValueError, match="count from 1 to 1000"):
                await client.list_page(start_index, count, EVERYTHING)
    assert not portal.requests
