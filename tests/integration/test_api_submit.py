"""Submitting lists of contact IDs over HTTP: every form, all or nothing, and what is said about a bad list."""

import gzip
import io
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from arq.connections import ArqRedis
from pydantic import SecretStr

from cli.embedded import EmbeddedServer
from config.settings import Portal
from tests.conftest import settings_for
from tests.support.lanes import lines_of
from tests.support.serving import Api, serving
from web.http.limits import Limits

PLAIN = {"Content-Type": "text/plain"}
CSV = {"Content-Type": "text/csv; charset=utf-8"}
NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def api(server: EmbeddedServer, redis: ArqRedis) -> AsyncIterator[Api]:
    portal = Portal(name="main", url="http://crm", token=SecretStr("secret-token"), approval_above=1000)
    async with serving(settings_for(server, portal), redis, limits=Limits(document_bytes=100_000)) as api:
        yield api


async def nothing_was_kept(redis: ArqRedis) -> bool:
    return int(await redis.dbsize()) == 0


async def ids_of(redis: ArqRedis, job: dict[str, Any]) -> list[int]:
    return [line.contact_id for line in await lines_of(redis, job["id"])]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (PLAIN, b"7\n5\r\n6\n5"),
        (PLAIN, "\ufeff7\n5\n6\n5\n".encode()),
        (PLAIN, "7\n5\n6\n5\n".encode("utf-16")),
        (CSV, b"name;Contact_ID\nAnn;7\nBob;5\nCy;6\nDi;5\n"),
        (NDJSON, b'{"id": 7}\n5\n{"contactId": 6, "x": 1}\n{"id": 5}\n'),
        (PLAIN, gzip.compress(b"7\n5\n6\n5\n")),
        ({**PLAIN, "Content-Encoding": "gzip"}, gzip.compress(b"7\n5\n6\n5\n")),
    ],
    ids=["lines", "lines-bom", "lines-utf16", "csv", "ndjson", "gzip-file", "gzip-encoded"],
)
async def test_a_list_alone_becomes_a_job(redis: ArqRedis, api: Api, headers: dict[str, str], body: bytes) -> None:
    path = "/v1/jobs?portal=main&label=spring%20cleanup&priority=urgent&id=job-1"
    async with api.client.post(path, data=body, headers=headers) as answer:
        job = await answer.json()
        assert (answer.status, answer.headers["Location"]) == (202, "/v1/jobs/job-1")
    assert (job["id"], job["label"], job["priority"]) == ("job-1", "spring cleanup", "urgent")
    assert (job["total"], job["duplicates"], job["state"]) == (3, 1, "queued")
    assert [(action["by"], action["action"]) for action in job["actions"]] == [("local", "submit")]
    assert await ids_of(redis, job) == [5, 6, 7]
    intake = job.pop("intake")
    assert await api.json("GET", "/v1/jobs/job-1") == job
    assert (intake["records"], intake["lines"], intake["duplicates"]) == (4, 5 if headers is CSV else 4, 1)


async def test_the_answer_says_how_the_list_was_read(api: Api) -> None:
    body = b'sep=;\r\nname;id\r\n"Ann\nLee";7\r\n\r\nBob;5\r\nCy;7\r\n'
    job = await api.json("POST", "/v1/jobs?portal=main", status=202, data=body, headers=CSV)
    assert job["intake"] == {
        "form": "csv",
        "delimiter": ";",
        "column": "id",
        "encoding": "utf-8",
        "gzip": False,
        "records": 3,
        "lines": 7,
        "blank_lines": 1,
        "duplicates": 1,
        "invalid": 0,
        "multiline_records": 1,
        "first_multiline_line": 3,
        "perhaps_cut_off": False,
    }
    document = {"portal": "main", "contact_ids": [3, 1, 3]}
    intake = (await api.json("POST", "/v1/jobs", status=202, json=document))["intake"]
    assert (intake["form"], intake["records"], intake["duplicates"]) == ("json", 3, 1)


async def test_a_list_that_can_be_read_in_two_ways_is_refused_unless_it_is_said_which(
    redis: ArqRedis, api: Api
) -> None:
    body = b'id,note\n101,ok\n102,"5 inch\n103,7 inch"\n104,ok\n'
    problem = await api.json("POST", "/v1/jobs?portal=main", status=422, data=body, headers=CSV)
    assert problem["type"] == "urn:crm-sweep:problem:invalid-list"
    assert "lines 3 to 4 can be read in two ways" in problem["detail"]
    assert "multiline=true" in problem["detail"]
    assert await nothing_was_kept(redis)
    job = await api.json("POST", "/v1/jobs?portal=main&multiline=true", status=202, data=body, headers=CSV)
    assert await ids_of(redis, job) == [101, 102, 104]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"Kontaktnummer;Name\n101;Ann\n", "contact IDs may be in 'Kontaktnummer'; name the column or key with"),
        (b"PK\x03\x04" + b"[Content_Types].xml".rjust(60), "this is an Excel workbook; save it as CSV"),
        (b"<!doctype html><title>Log in", "this is an HTML page"),
        (b'id,note\n101,"5 inch\n102,ok\n', "1 line is not a row with a contact ID"),
    ],
)
async def test_what_is_no_list_is_told_for_what_it_is(redis: ArqRedis, api: Api, body: bytes, detail: str) -> None:
    problem = await api.json("POST", "/v1/jobs?portal=main", status=422, data=body, headers=CSV)
    assert detail in problem["detail"]
    assert await nothing_was_kept(redis)


async def test_a_csv_sent_as_plain_text_and_a_bare_array_are_told_how_to_be_sent(redis: ArqRedis, api: Api) -> None:
    plain = {"Content-Type": "text/plain"}
    problem = await api.json("POST", "/v1/jobs?portal=main", status=422, data=b"id,name\n5,Ann\n", headers=plain)
    assert "send a CSV as text/csv, with a header line" in problem["detail"]
    problem = await api.json("POST", "/v1/jobs?portal=main", status=422, json=[5, 6])
    assert "a JSON document is an object such as" in problem["detail"]
    assert "send a list alone as text/plain, text/csv or application/x-ndjson" in problem["detail"]
    assert await nothing_was_kept(redis)


async def test_a_document_becomes_a_job(redis: ArqRedis, api: Api) -> None:
    document = {"portal": "main", "contact_ids": [9, 3, 9], "label": "x", "priority": "background"}
    job = await api.json("POST", "/v1/jobs", status=202, json=document)
    assert (job["total"], job["duplicates"], job["label"], job["priority"]) == (2, 1, "x", "background")
    assert await ids_of(redis, job) == [3, 9]


async def test_members_that_are_null_count_as_missing(api: Api) -> None:
    document = dict.fromkeys(("label", "id", "priority", "column", "skip_invalid"))
    job = await api.json("POST", "/v1/jobs", status=202, json=document | {"portal": "main", "contact_ids": [3, 1, 3]})
    assert (job["total"], job["label"], job["priority"]) == (2, "", "normal")


async def test_a_document_may_hold_objects_under_a_name_of_ones_own(redis: ArqRedis, api: Api) -> None:
    document = {"portal": "main", "contact_ids": [{"nr": 9}, {"nr": 3}, {"nr": "x"}], "column": "nr"}
    async with api.client.post("/v1/jobs", json=document | {"skip_invalid": True}) as answer:
        assert (answer.status, answer.headers["Skipped-Invalid"]) == (202, "1")
        assert await ids_of(redis, await answer.json()) == [3, 9]


async def test_values_that_are_no_contact_ids_can_be_skipped(redis: ArqRedis, api: Api) -> None:
    path = "/v1/jobs?portal=main&skip_invalid=true&column=nr"
    async with api.client.post(path, data=b"nr\n1\nx\n0\n2\n", headers=CSV) as answer:
        assert (answer.status, answer.headers["Skipped-Invalid"]) == (202, "2")
        assert await ids_of(redis, await answer.json()) == [1, 2]


async def test_a_list_above_the_portals_threshold_waits_for_approval(api: Api) -> None:
    body = "\n".join(map(str, range(1, 1002)))
    job = await api.json("POST", "/v1/jobs?portal=main", status=202, data=body, headers=PLAIN)
    assert (job["state"], job["state_reason"]) == ("awaiting_approval", "approval")
    job = await api.json("POST", f"/v1/jobs/{job['id']}/approve")
    assert job["state"] == "queued"


@pytest.mark.parametrize("by_header", [True, False], ids=["header", "parameter"])
async def test_sending_twice_gives_the_same_job_and_another_list_409(api: Api, by_header: bool) -> None:
    path = "/v1/jobs?portal=main" + ("" if by_header else "&id=order-7")
    headers = PLAIN | ({"Idempotency-Key": '"order-7"'} if by_header else {})
    first = await api.json("POST", path, status=202, data=b"1\n2\n", headers=headers)
    again = await api.json("POST", path, status=200, data=b"2\n1\n1\n", headers=headers)
    assert first["id"] == again["id"] == "order-7"
    document = {"portal": "main", "contact_ids": [2, 1], "id": "order-7"}
    assert (await api.json("POST", "/v1/jobs", status=200, json=document))["id"] == "order-7"
    problem = await api.json("POST", path, status=409, data=b"3\n", headers=headers)
    assert problem["type"] == "urn:crm-sweep:problem:job-exists"
    assert (await api.json("GET", "/v1/jobs/order-7"))["total"] == 2


@pytest.mark.parametrize(
    ("status", "word", "path", "options"),
    [
        (404, "unknown-portal", "?portal=nobody", {"data": b"1", "headers": PLAIN}),
        (404, "unknown-portal", "", {"json": {"portal": "nobody", "contact_ids": [1]}}),
        (422, "invalid", "", {"data": b"1", "headers": PLAIN}),
        (422, "invalid", "", {"json": {"contact_ids": [1]}}),
        (422, "invalid", "", {"json": {"portal": "main"}}),
        (422, "invalid", "", {"json": {"portal": "main", "contact_ids": [1], "portals": 1}}),
        (422, "invalid", "", {"json": {"portal": "main", "contact_ids": "1,2"}}),
        (422, "invalid", "", {"json": {"portal": "main", "contact_ids": [1], "id": "a b"}}),
        (422, "invalid", "", {"json": {"portal": "main", "contact_ids": [1], "label": "a\nb"}}),
        (422, "invalid", "", {"json": {"portal": "main", "contact_ids": [1], "label": "x" * 201}}),
        (422, "invalid", "", {"json": {"portal": "main", "contact_ids": [1]}, "headers": {"Idempotency-Key": "a b"}}),
        (422, "invalid", "", {"json": [1, 2]}),
        (422, "invalid-list", "", {"json": {"portal": "main", "contact_ids": []}}),
        (422, "invalid-list", "?portal=main", {"data": b"", "headers": PLAIN}),
        (422, "invalid-list", "?portal=main", {"data": b"a\n1\n", "headers": CSV}),
        (400, "bad-parameter", "?portal=main&what=1", {"data": b"1", "headers": PLAIN}),
        (400, "bad-parameter", "?portal=main&portal=main", {"data": b"1", "headers": PLAIN}),
        (400, "bad-parameter", "?portal=main&priority=soon", {"data": b"1", "headers": PLAIN}),
        (400, "bad-parameter", "?portal=main&skip_invalid=perhaps", {"data": b"1", "headers": PLAIN}),
        (400, "bad-parameter", "?label=b", {"json": {"portal": "main", "contact_ids": [1], "label": "a"}}),
        (400, "bad-parameter", "?portal=main&id=a", {"data": b"1", "headers": PLAIN | {"Idempotency-Key": "b"}}),
        (400, "bad-json", "", {"data": b"{", "headers": {"Content-Type": "application/json"}}),
        (
            400,
            "bad-json",
            "",
            {"data": b'{"contact_ids":' + b"[" * 50_000, "headers": {"Content-Type": "application/json"}},
        ),
        (400, "bad-body", "?portal=main", {"data": b"1\n", "headers": PLAIN | {"Content-Encoding": "gzip"}}),
        (400, "bad-body", "?portal=main", {"data": gzip.compress(b"1\n2\n")[:-5], "headers": PLAIN}),
        (400, "bad-body", "?portal=main", {"data": gzip.compress(gzip.compress(b"1\n")), "headers": PLAIN}),
        (
            415,
            "unsupported-media-type",
            "?portal=main",
            {"data": b"1\n", "headers": PLAIN | {"Content-Encoding": "br"}},
        ),
        (415, "unsupported-media-type", "?portal=main", {"data": b"1\n", "headers": {"Content-Type": "text/html"}}),
        (415, "unsupported-media-type", "?portal=main", {"data": {"id": "1"}}),
        (413, "too-large", "", {"json": {"portal": "main", "contact_ids": [1000000] * 20_000}}),
    ],
)
async def test_a_bad_request_is_refused_as_a_whole(
    redis: ArqRedis, api: Api, *, status: int, word: str, path: str, options: dict[str, Any]
) -> None:
    problem = await api.json("POST", f"/v1/jobs{path}", status=status, **options)
    assert problem["type"] == f"urn:crm-sweep:problem:{word}"
    assert problem["status"] == status
    assert problem["detail"]
    assert await nothing_was_kept(redis)


async def test_a_bad_document_is_told_position_by_position(redis: ArqRedis, api: Api) -> None:
    bad = ["x", 5.0, True, 0, -1, 2147483648, "7", None, [1], {"id": 1, "contact_id": 1}, "eleventh"]
    body = json.dumps({"contact_ids": [1, 2, 3, *bad, 4], "portal": "main"})
    headers = {"Content-Type": "application/json"}
    problem = await api.json("POST", "/v1/jobs", status=422, data=body, headers=headers)
    assert problem["type"] == "urn:crm-sweep:problem:invalid-list"
    assert problem["total_errors"] == 11
    assert [error["index"] for error in problem["errors"]] == list(range(3, 13))
    assert problem["errors"][0] == {
        "where": "body.contact_ids[3]",
        "why": "not a whole number",
        "index": 3,
        "text": '"x"',
    }
    assert [error["text"] for error in problem["errors"][1:4]] == ["5.0", "true", "0"]
    assert await nothing_was_kept(redis)


async def test_a_bad_list_is_told_line_by_line(redis: ArqRedis, api: Api) -> None:
    lines = "\n".join(["1", "2", "x,y", *map(str, range(3, 50)), "-4"])
    problem = await api.json("POST", "/v1/jobs?portal=main", status=422, data=lines, headers=PLAIN)
    assert problem["errors"] == [
        {"where": "body", "why": "not a whole number", "line": 3, "text": "x,y"},
        {"where": "body", "why": "not a whole number", "line": 51, "text": "-4"},
    ]
    assert problem["total_errors"] == 2
    assert await nothing_was_kept(redis)


async def test_the_position_in_a_document_is_right_beyond_the_first_block(api: Api) -> None:
    ids: list[Any] = [2_000_000_000 + number for number in range(200_000)]
    ids[150_000] = "here"
    body = io.BytesIO(json.dumps({"portal": "main", "contact_ids": ids}).encode())
    async with serving(api.settings, api.redis) as large:
        headers = {"Content-Type": "application/json"}
        problem = await large.json("POST", "/v1/jobs", status=422, data=body, headers=headers)
    assert [error["index"] for error in problem["errors"]] == [150_000]
