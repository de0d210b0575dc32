"""A new job by a filter on the page: every member of the filter, told at its field where it is wrong, sent once."""

import asyncio

import pytest
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from jobs.store import keys
from jobs.view.job import list_jobs
from jobs.words.filters import Filter
from jobs.words.states import State
from tests.support.browsing import Screen, api_key, settings_with, visiting

GUID = "0b1c2d3e-0000-4000-8000-123456789abc"


def wrong_fields(screen: Screen) -> dict[str, str]:
    """Return what a screen says is wrong, by field: what a screen reader reads with it."""
    return {
        str(attributes.get("name")): str(attributes.get("aria-describedby"))
        for _, attributes in screen.markup.elements
        if attributes.get("aria-invalid") == "true"
    }


async def test_every_member_of_a_filter_has_its_field(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        form = await anna.look("/new/filter")
        names = {attributes.get("name") for _, attributes in form.markup.elements}
        assert set(Filter.__struct_fields__) <= names
        sent = await anna.send(
            "/new/filter",
            portal="main",
            label="spring",
            priority="background",
            tags="trash\r\n old, unused \r\n\r\n",
            without_tags="vip",
            view="person",
            stage="3",
            type="0",
            responsible=GUID,
            created_from="2020-01-31",
            created_to="2024-02-29",
            without_email="yes",
            text="acme",
        )
        assert sent.status == 303
        shown = await anna.look(sent.location)
        assert "nothing is deleted before a person has approved the plan" in shown.text
        assert "Chosen by a filter: persons tagged 'old, unused' and trash, not tagged vip" in shown.text
    [job] = (await list_jobs(redis)).jobs
    assert (job.state, job.label, job.priority, job.total) == (State.PLANNING, "spring", "background", 0)
    assert job.selection.filter == Filter.from_json(
        {
            "tags": ["trash", "old, unused"],
            "without_tags": ["vip"],
            "view": "person",
            "stage": 3,
            "type": 0,
            "responsible": GUID,
            "created_from": "2020-01-31",
            "created_to": "2024-02-29",
            "without_email": True,
            "text": "acme",
        }
    )
    assert [(action.by, action.action) for action in job.actions] == [("anna", "submit")]


@pytest.mark.parametrize(
    ("fields", "wrong", "told"),
    [
        ({"stage": "cold"}, "stage", "Given 'cold', expected the ID of a stage, a whole number from 0."),
        ({"type": "-1"}, "type", "expected the ID of a type"),
        ({"stage": "\uff13"}, "stage", "expected the ID of a stage"),
        ({"type": "9" * 30}, "type", "expected the ID of a type"),
        ({"responsible": "anna"}, "responsible", "expected the GUID of a user"),
        ({"created_from": "31.1.2024"}, "created_from", "Given '31.1.2024', expected a day"),
        ({"created_from": "2024-02-30"}, "created_from", "expected a day"),
        ({"created_from": "2024-02-02", "created_to": "2024-02-01"}, "created_from", "not after created_to"),
        ({"tags": "VIP", "without_tags": "vip"}, "without_tags", "which is in tags as well"),
        ({"tags": "x" * 256}, "tags", "of 256 characters"),
        ({"tags": "\n".join(map(str, range(51)))}, "tags", "given 51 tags"),
        ({"tags": "a\x00b"}, "tags", "without control characters"),
        ({"text": "Acme, Inc"}, "text", "expected words without a comma"),
        ({"view": "robot"}, "view", "expected one of all, company, person, with_opportunity"),
        ({"everything": "yes", "tags": "trash"}, "everything", "expected alone"),
        ({"stage": "<i>", "text": "a,b", "type": "x"}, "stage text type", "Given '<i>'"),
        ({}, "", "Nothing is filled in that selects contacts."),
        ({"view": "all"}, "", "Nothing is filled in that selects contacts."),
        ({"tags": " \r\n ", "text": "  "}, "", "Nothing is filled in that selects contacts."),
        ({"everything": "no"}, "", "Nothing is filled in that selects contacts."),
        ({"tags": "trash", "label": "x" * 201}, "", "Nothing was queued."),
        ({"tags": "trash", "id": "not:an:id"}, "", "Nothing was queued."),
    ],
    ids=str,
)
async def test_what_is_wrong_is_told_at_its_field(
    redis: ArqRedis, server: EmbeddedServer, fields: dict[str, str], wrong: str, told: str
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.send("/new/filter", **{"portal": "main", **fields})
        assert screen.status == 422
        assert told.casefold() in screen.text.casefold()
        found = wrong_fields(screen)
        assert set(found) == set(wrong.split())
        for described in found.values():
            assert screen.markup.all("p", id=described), "there is what it refers to"
        assert "<i>" not in screen.html
        for name in ("stage", "type", "text", "label"):
            if name in fields:
                assert screen.markup.value(name) == fields[name], "what was typed is still there"
    assert not (await list_jobs(redis)).jobs


async def test_a_filter_sent_twice_is_one_job(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        form = await anna.look("/new/filter")
        fields = {"id": form.markup.value("id"), "csrf": form.markup.value("csrf"), "portal": "main", "tags": "trash"}
        screens = await asyncio.gather(*(anna.ask("POST", "/new/filter", data=fields) for _ in range(5)))
        assert {screen.status for screen in screens} == {303}
        [job] = (await list_jobs(redis)).jobs
        assert {screen.location.partition("?")[0] for screen in screens} == {f"/jobs/{job.id}"}

        other = await anna.ask("POST", "/new/filter", data={**fields, "tags": "old"})
        assert (other.status, "was sent before, with another filter" in other.text) == (409, True)
        again = await anna.ask("POST", "/new/filter", data={**fields, "tags": "old", "id": other.markup.value("id")})
        assert again.status == 303
    assert len((await list_jobs(redis)).jobs) == 2


@pytest.mark.parametrize(("fields", "status"), [({"portal": "nowhere"}, 404), ({"priority": "extreme"}, 400)])
async def test_wrong_choices_make_no_job(
    redis: ArqRedis, server: EmbeddedServer, fields: dict[str, str], status: int
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.send("/new/filter", **{"portal": "main", "tags": "trash", **fields})
        assert screen.status == status
    assert not (await list_jobs(redis)).jobs


async def test_a_key_selects_only_in_its_portals_and_no_more_than_it_may(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    settings = settings_with(server, api_key("anna", portals=["main"], max_contacts=3))
    async with visiting(settings, redis, "anna") as [anna]:
        assert "other" not in (await anna.look("/new/filter")).text.split()
        assert (await anna.send("/new/filter", portal="other", tags="trash")).status == 404
        assert (await anna.send("/new/filter", portal="main", tags="trash")).status == 303
    [job] = (await list_jobs(redis)).jobs
    assert await redis.execute_command("HGET", keys.job(job.id), "max_contacts") == b"3", "for the plan to check"
