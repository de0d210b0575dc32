"""A new job on the page: first it shows what is in the list, and only a typed number queues it, exactly once."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis

from cli.embedded import EmbeddedServer
from config.settings import Api, ApiKey
from jobs.ledger.rows import read_results
from jobs.store import keys
from jobs.view.job import list_jobs
from jobs.words.contact_ids import MAX_CONTACT_ID
from jobs.words.states import State
from tests.conftest import settings_for
from tests.support.browsing import api_key, multipart, portal, settings_with, visiting


async def queued_ids(redis: ArqRedis) -> list[int]:
    """Return the contact IDs of the only job."""
    [job] = (await list_jobs(redis)).jobs
    return [line.contact_id async for lines in read_results(redis, job.id) for line in lines]


def small_bodies(key: ApiKey) -> Api:
    return Api(keys=(key,), max_body_mb=1)


LISTS: dict[str, bytes] = {
    "lines": b"5\n3\n 4 \n3\n",
    "csv": b"name;Contact_ID\nann;3\nbob;4\ncid;5\nann;3\n",
    "json": b"[5, 4, 3, 3]",
    "ndjson": b'{"id": 3}\n4\n5\n{"contact_id": 3}\n',
    "gzip": gzip.compress(b"3\n4\n5\n3"),
    "windows": "\ufeff3\r\n4\r\n5\r\n3\r\n".encode(),
}


@pytest.mark.parametrize("form", LISTS)
async def test_the_list_that_was_counted_is_the_list_that_is_queued(
    redis: ArqRedis, server: EmbeddedServer, form: str
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        sent = await anna.upload(LISTS[form], label="spring <3", priority="background")
        assert sent.status == 303
        shown = await anna.look(sent.location)
        assert "Delete 3 contacts from main?" in shown.text
        assert "Duplicates left out 1" in shown.text
        assert "Lowest and highest ID 3 to 5" in shown.text
        assert not (await list_jobs(redis)).jobs, "nothing is queued before the number is typed"
        confirmed = await anna.send(sent.location, count="3", do="submit")
        assert confirmed.status == 303
        assert "The job is queued." in (await anna.look(confirmed.location)).text
    [job] = (await list_jobs(redis)).jobs
    assert confirmed.location == f"/jobs/{job.id}?did=submitted"
    assert (job.label, job.priority, job.duplicates, job.state) == ("spring <3", "background", 1, State.QUEUED)
    assert [(action.by, action.action) for action in job.actions] == [("anna", "submit")]
    assert await queued_ids(redis) == [3, 4, 5]


@pytest.mark.parametrize(
    "typed", ["", "3", "12346", "-12345", "12345x", "\uff11\uff12\uff13\uff14\uff15", "0x3039", "12 345 6"]
)
async def test_another_number_queues_nothing(redis: ArqRedis, server: EmbeddedServer, typed: str) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        draft = (await anna.upload("\n".join(map(str, range(1, 12346))))).location
        screen = await anna.send(draft, count=typed, do="submit")
        assert (screen.status, "Nothing was queued" in screen.text) == (422, True)
        assert not (await list_jobs(redis)).jobs
        assert (await anna.send(draft, count="12345", do="submit")).status == 303, "the user can try again"
    assert len(await queued_ids(redis)) == 12345


@pytest.mark.parametrize("typed", [" 12345 ", "12 345", "12,345", "12.345", "12'345", "12\u202f345", "12_345"])
async def test_the_number_may_be_written_as_people_do(redis: ArqRedis, server: EmbeddedServer, typed: str) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        draft = (await anna.upload("\n".join(map(str, range(1, 12346))))).location
        assert (await anna.send(draft, count=typed, do="submit")).status == 303


async def test_clicking_twice_queues_once(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        draft = (await anna.upload("1\n2\n3\n")).location
        fields = {"csrf": await anna.csrf(), "count": "3", "do": "submit"}
        screens = await asyncio.gather(*(anna.ask("POST", draft, data=fields) for _ in range(5)))
        late = await anna.ask("POST", draft, data=fields)
        back = await anna.look(draft)
    [job] = (await list_jobs(redis)).jobs
    assert {screen.status for screen in [*screens, late, back]} == {303}
    assert {screen.location.partition("?")[0] for screen in [*screens, late, back]} == {f"/jobs/{job.id}"}
    assert await queued_ids(redis) == [1, 2, 3]


async def test_a_discarded_list_is_gone(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        draft = (await anna.upload("1\n2\n3\n")).location
        assert (await anna.send(draft, do="discard")).location == "/new"
        screen = await anna.send(draft, count="3", do="submit")
        assert (screen.status, "was not queued" in screen.text) == (404, True)
    assert not (await list_jobs(redis)).jobs
    assert not [key async for key in redis.scan_iter(keys.staging("*"))]


async def test_a_list_that_waits_has_an_end_to_its_life(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        draft = (await anna.upload("\n".join(map(str, range(1, 200_000))))).location
        [key] = [key async for key in redis.scan_iter(keys.staging("*"))]
        assert 3500 < await redis.ttl(key) <= 3600
        await redis.execute_command("HDEL", key, "1")
        screen = await anna.send(draft, count="199999", do="submit")
        assert screen.status == 404, "a list that is not whole any more is not queued"
    assert not (await list_jobs(redis)).jobs


async def test_nobody_confirms_the_list_of_another(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_with(server, api_key("anna"), api_key("sender"))
    async with visiting(settings, redis, "anna", "sender") as [anna, sender]:
        draft = (await anna.upload("1\n2\n3\n")).location
        assert (await sender.look(draft)).status == 404
        assert (await sender.send(draft, count="3", do="submit")).status == 404
        assert (await sender.send(draft, do="discard")).status == 404
        assert (await anna.send(draft, count="3", do="submit")).status == 303


BAD = "id,name\n5,a\nseven,b\n0,c\n99999999999,<b>d</b>\n6.0,e\n"


async def test_bad_lines_are_told_as_on_the_command_line(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.upload(BAD, label="spring")
        assert screen.status == 422
        assert "4 values are not contact IDs (whole numbers from 1 to 2147483647). Nothing was queued." in screen.text
        assert "line 3: seven not a whole number" in screen.text
        assert "line 4: 0 outside 1 to 2147483647" in screen.text
        assert "line 6: 6.0 not a whole number" in screen.text
        assert screen.markup.value("label") == "spring", "what was typed is still there"
        skipping = await anna.upload(BAD, skip_invalid="yes")
        assert "Bad values skipped 4" in (await anna.look(skipping.location)).text
    assert not (await list_jobs(redis)).jobs


async def test_before_the_number_is_typed_the_page_says_how_the_list_was_read(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        sent = await anna.upload(gzip.compress(b'name;id\n"Ann\nLee";3\n\nBob;4\n'))
        shown = (await anna.look(sent.location)).text
        assert "Read as CSV, delimiter semicolon, column 'id', UTF-8, gzip" in shown
        assert "In the list 5 lines, 2 records, 1 blank line" in shown
        assert "1 record spans several lines; the first begins on line 2" in shown


async def test_a_list_that_can_be_read_in_two_ways_is_refused_unless_the_box_is_ticked(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    ambiguous = 'id,note\n102,"5 inch\n103,7 inch"\n104,ok\n'
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.upload(ambiguous)
        assert screen.status == 422
        assert "Lines 2 to 3 can be read in two ways" in screen.text
        assert "tick the box below for fields that span several lines" in screen.text
        sent = await anna.upload(ambiguous, multiline="yes")
        assert "Delete 2 contacts from main?" in (await anna.look(sent.location)).text


async def test_without_an_id_column_the_page_names_the_field_to_fill_in(
    redis: ArqRedis, server: EmbeddedServer
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.upload("Kontaktnummer;Name\n101;Ann\n")
        assert "contact IDs may be in 'Kontaktnummer'" in screen.text
        assert "Name the column or key of the contact ID below" in screen.text


async def test_of_many_bad_lines_ten_are_told(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.upload("<i>x</i>\n" * 25)
        assert screen.text.count("not a whole number") == 10
        assert "and 15 more" in screen.text
        assert "<i>" not in screen.html


async def test_a_named_column_is_read(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        sent = await anna.upload("id,crm\n1,70\n2,80\n", column="crm")
        assert "70 to 80" in (await anna.look(sent.location)).text


async def test_a_pasted_list_is_as_good_as_a_file(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        form = multipart({"csrf": await anna.csrf(), "portal": "main"}, b"")
        form.add_field("pasted", f"1\r\n{MAX_CONTACT_ID}\r\n")
        sent = await anna.ask("POST", "/new", data=form)
        assert "Delete 2 contacts" in (await anna.look(sent.location)).text


@pytest.mark.parametrize(("file", "pasted"), [("", ""), (" \n", "\r\n"), ("1\n", "2\n")])
async def test_there_must_be_one_list(redis: ArqRedis, server: EmbeddedServer, file: str, pasted: str) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        form = multipart({"csrf": await anna.csrf(), "portal": "main"}, file)
        form.add_field("pasted", pasted)
        screen = await anna.ask("POST", "/new", data=form)
        assert screen.status == 422
        assert ("Choose a file" if not file.strip() else "send one of them") in screen.text


@pytest.mark.parametrize("size", ["declared", "chunked", "unpacked"])
async def test_a_list_that_is_too_large_is_refused(redis: ArqRedis, server: EmbeddedServer, size: str) -> None:
    settings = settings_with(server, api=small_bodies(api_key("anna")))
    content = b"1234567\n" * 150_000
    async with visiting(settings, redis, "anna") as [anna]:
        fields = {"csrf": await anna.csrf(), "portal": "main"}
        form: Any = multipart(fields, gzip.compress(content) if size == "unpacked" else content)
        if size == "chunked":
            # A generator has no length to declare.
            whole = form()
            screen = await anna.ask("POST", "/new", data=_chunks(await whole.as_bytes()), headers=whole.headers)
        else:
            screen = await anna.ask("POST", "/new", data=form)
        assert screen.status == (422 if size == "unpacked" else 413)
        assert "larger than 1 MB" in screen.text
    assert not [key async for key in redis.scan_iter(keys.staging("*"))]


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 65536):
        yield body[start : start + 65536]


async def test_a_list_before_the_token_of_its_form_is_not_read(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        form = multipart({"csrf": await anna.csrf(), "portal": "main"}, "1\n", list_first=True)
        assert (await anna.ask("POST", "/new", data=form)).status == 403


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Dispo"),
        ("multipart/form-data; boundary=x", b"nothing"),
        ("multipart/form-data; boundary=x", b""),
        ("multipart/form-data", b"--x--"),
        ("multipart/form-data; boundary=" + "x" * 500, b"--x--"),
        ("multipart/form-data; boundary=x", b"--x\r\nContent-Type: multipart/mixed; boundary=y\r\n\r\n--y--\r\n--x--"),
        ("application/json", b"{}"),
        ("text/plain", b"1\n2\n"),
    ],
)
async def test_a_damaged_upload_is_refused_quietly(
    redis: ArqRedis, server: EmbeddedServer, content_type: str, body: bytes
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        screen = await anna.ask("POST", "/new", data=body, headers={"Content-Type": content_type})
        assert screen.status in {400, 403, 415}, screen.text


@pytest.mark.parametrize(
    ("fields", "status"),
    [({"portal": "nowhere"}, 404), ({"portal": ""}, 404), ({"priority": "extreme"}, 400), ({"label": "x" * 201}, 422)],
    ids=str,
)
async def test_wrong_fields_queue_nothing(
    redis: ArqRedis, server: EmbeddedServer, fields: dict[str, str], status: int
) -> None:
    async with visiting(settings_with(server, api_key("anna")), redis, "anna") as [anna]:
        assert (await anna.upload("1\n", **fields)).status == status
    assert not [key async for key in redis.scan_iter(keys.staging("*"))]


async def test_a_large_list_waits_for_an_approval(redis: ArqRedis, server: EmbeddedServer) -> None:
    settings = settings_for(server, portal("main", approval_above=2), api=Api(keys=(api_key("anna"),)))
    async with visiting(settings, redis, "anna") as [anna]:
        draft = (await anna.upload("1\n2\n3\n")).location
        assert "waits for approval" in (await anna.look(draft)).text
        await anna.send(draft, count="3", do="submit")
    [job] = (await list_jobs(redis)).jobs
    assert job.state is State.AWAITING_APPROVAL


async def test_without_portals_the_page_says_what_to_do(redis: ArqRedis, server: EmbeddedServer) -> None:
    async with visiting(settings_for(server), redis, "") as [person]:
        assert "No portal to delete from" in (await person.look("/new")).text
        assert "[portals.NAME]" in (await person.look("/portals")).text
        assert "No jobs yet" in (await person.look("/")).text
