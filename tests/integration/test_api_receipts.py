"""Receipts over HTTP and on the page: who gets one, when, and that a large ledger does not hold up the server."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pyroaring import BitMap

from bench.ended_job import make_ended_job
from cli.embedded import EmbeddedServer
from config.receipts import Receipts
from config.settings import Settings
from jobs.receipts.documents import read_document
from jobs.receipts.verify import verify
from jobs.store import keys
from jobs.words.contact_ids import SEGMENT_SIZE
from tests.support.browsing import api_key, settings_with, visiting
from tests.support.lanes import accept
from tests.support.receipts import KEY, PUBLIC, as_file
from tests.support.serving import Api, serving


@pytest.fixture
def receipts(tmp_path: Path) -> Receipts:
    file = tmp_path / "receipts.pem"
    file.write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return Receipts(key_file=file)


@pytest.fixture
def settings(server: EmbeddedServer, receipts: Receipts) -> Settings:
    return settings_with(server, receipts=receipts)


@pytest.fixture
async def api(redis: ArqRedis, settings: Settings) -> AsyncIterator[Api]:
    async with serving(settings, redis) as api:
        yield api


async def end(redis: ArqRedis, total: int = 30, job_id: str = "job", portal: str = "main") -> None:
    await make_ended_job(redis, BitMap(range(101, 101 + total)), portal=portal, job_id=job_id)


async def body(api: Api, path: str, **options: Any) -> bytes:
    async with api.client.get(path, **options) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.read()


async def test_receipt_ledger_and_proofs_that_are_downloaded_agree(api: Api, redis: ArqRedis) -> None:
    await end(redis)
    ledger = await body(api, "/v1/jobs/job/results?format=csv")
    receipt = read_document(await body(api, "/v1/jobs/job/receipt"))
    assert verify(receipt, known_key=PUBLIC, ledger=as_file(ledger)).ledger_lines == 30
    proof = read_document(await body(api, "/v1/jobs/job/receipt/117"))
    assert proof.statement == receipt.statement
    line = verify(proof, known_key=PUBLIC, ledger=as_file(ledger)).line
    assert line is not None
    assert line.startswith("117,deleted,")


async def test_answers_are_files_and_a_sealed_receipt_has_no_opening(api: Api, redis: ArqRedis) -> None:
    await end(redis)
    for path, name in (("receipt", "receipt"), ("receipt/101", "proof-101")):
        for method in ("GET", "HEAD"):
            async with api.client.request(method, f"/v1/jobs/job/{path}") as answer:
                assert answer.status == 200
                assert answer.content_type == "application/json"
                expected = f'attachment; filename="crm-sweep-job-{name}.json"'
                assert answer.headers["Content-Disposition"] == expected
    sealed = await api.json("GET", "/v1/jobs/job/receipt?sealed=true")
    assert sealed["opening"] is None
    assert (await api.json("GET", "/v1/jobs/job/receipt"))["opening"] is not None


async def test_a_job_that_has_not_ended_has_no_receipt(api: Api, redis: ArqRedis) -> None:
    await accept(redis, [1, 2], job_id="waiting")
    for path in ("receipt", "receipt/1"):
        problem = await api.json("GET", f"/v1/jobs/waiting/{path}", status=409)
        assert (problem["type"], problem["state"]) == ("urn:crm-sweep:problem:illegal-move", "queued")
        assert "once it has ended" in problem["detail"]
    assert not await redis.exists(keys.receipts("waiting"))


@pytest.mark.parametrize("contact", ["100", "131", "0", "2147483648", "x", "1.5", "-101"])
async def test_a_contact_that_the_job_does_not_have_is_not_found(api: Api, redis: ArqRedis, contact: str) -> None:
    await end(redis)
    problem = await api.json("GET", f"/v1/jobs/job/receipt/{contact}", status=404)
    assert problem["type"] == "urn:crm-sweep:problem:unknown-contact"


async def test_what_is_wrong_with_a_request_is_said(api: Api, redis: ArqRedis) -> None:
    await end(redis)
    await api.json("GET", "/v1/jobs/nobody/receipt", status=404)
    for query in ("sealed=maybe", "opened=true"):
        problem = await api.json("GET", f"/v1/jobs/job/receipt?{query}", status=400)
        assert problem["type"] == "urn:crm-sweep:problem:bad-parameter"
    await api.json("GET", "/v1/jobs/job/receipt/101?sealed=true", status=400)


async def test_without_a_key_to_sign_with_there_are_none(server: EmbeddedServer, redis: ArqRedis) -> None:
    await end(redis)
    async with serving(settings_with(server), redis) as api:
        for path in ("receipt", "receipt/101"):
            problem = await api.json("GET", f"/v1/jobs/job/{path}", status=404)
            assert problem["type"] == "urn:crm-sweep:problem:no-receipt-key"
            assert "receipts.key_file" in problem["detail"]
    async with visiting(settings_with(server), redis, "") as [person]:
        assert "/receipt" not in (await person.look("/jobs/job")).html


async def test_keys_see_the_receipts_of_their_portals_alone(
    server: EmbeddedServer, redis: ArqRedis, receipts: Receipts
) -> None:
    await end(redis, portal="other")
    limited = api_key("anna", "read", portals=("main",))
    async with visiting(settings_with(server, limited, receipts=receipts), redis, "anna", "") as [anna, nobody]:
        assert (await anna.look("/jobs/job/receipt")).status == 404
        assert (await nobody.look("/jobs/job/receipt")).status in {303, 401}
        assert (await nobody.look("/v1/jobs/job/receipt")).status == 401


async def test_the_screen_of_an_ended_job_offers_its_receipt(redis: ArqRedis, settings: Settings) -> None:
    await end(redis)
    await accept(redis, [1, 2], job_id="waiting")
    async with visiting(settings, redis, "") as [person]:
        assert 'href="/jobs/job/receipt"' in (await person.look("/jobs/job")).html
        assert "/receipt" not in (await person.look("/jobs/waiting")).html
        downloaded = await person.look("/jobs/job/receipt")
        assert downloaded.headers["Content-Disposition"].startswith("attachment")
        assert verify(read_document(downloaded.html.encode()), known_key=PUBLIC).is_known


async def test_a_large_ledger_does_not_hold_up_other_requests(api: Api, redis: ArqRedis) -> None:
    """Several at once are made one after the other, of one reading; meanwhile the process answers."""
    await end(redis, 4 * SEGMENT_SIZE)
    waiting = [asyncio.create_task(body(api, "/v1/jobs/job/receipt")) for _ in range(3)]
    answered = 0
    while not waiting[0].done():
        await api.json("GET", "/healthz")
        answered += 1
    assert len(set(await asyncio.gather(*waiting))) == 1
    assert answered > 3


async def test_callers_are_turned_away_when_too_many_wait(
    redis: ArqRedis, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.api.receipts._AT_ONCE", 1)
    await end(redis)
    async with serving(settings, redis) as api:
        going = asyncio.Event()
        released = asyncio.Event()

        async def stuck(*_: Any, **__: Any) -> Any:
            going.set()
            await released.wait()
            raise AssertionError("it was only to take a place")

        with monkeypatch.context() as patch:
            patch.setattr("web.api.receipts.make_receipt", stuck)
            first = asyncio.create_task(api.client.get("/v1/jobs/job/receipt"))
            await going.wait()
            problem = await api.json("GET", "/v1/jobs/job/receipt", status=503)
            assert problem["type"] == "urn:crm-sweep:problem:too-busy"
            await api.json("GET", "/v1/jobs/job/receipt/101", status=503)
            released.set()
            assert (await first).status == 500
        await api.json("GET", "/v1/jobs/job/receipt")
