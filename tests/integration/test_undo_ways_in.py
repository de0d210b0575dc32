"""Undo over HTTP, on the page and through plain arq: who may ask for it, and what is shown of it."""

from pathlib import Path
from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from config.settings import Api as ApiSettings
from jobs.accept.from_arq import accept
from jobs.arq_messages.message import read_message
from jobs.view.job import read_job
from jobs.words.errors import BadSubmission
from simulator import World
from tests.support.browsing import api_key, visiting
from tests.support.keeping import keeping_settings
from tests.support.serving import serving
from tests.support.sweeping import MARKS, ended
from worker.main import working

pytestmark = MARKS


@pytest.mark.parametrize(
    "case",
    [
        ("optional", None, 202, False),
        ("optional", True, 202, True),
        ("optional", False, 202, False),
        ("required", None, 202, True),
        ("required", False, 422, False),
        ("off", True, 422, False),
        ("off", False, 202, False),
    ],
)
async def test_undo_over_http(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path, case: tuple[str, bool | None, int, bool]
) -> None:
    mode, asked, status, keeps = case
    async with simulator.running(World(10)) as portal:
        settings = keeping_settings(server, portal, tmp_path, undo=mode)
        async with serving(settings, redis) as api:
            body: dict[str, Any] = {"portal": "main", "contact_ids": [1, 2]}
            answer = await api.json(
                "POST", "/v1/jobs", status=status, json=body | ({"undo": asked} if asked is not None else {})
            )
            query = "" if asked is None else f"&undo={str(asked).lower()}"
            streamed = await api.json(
                "POST",
                f"/v1/jobs?portal=main{query}",
                status=status,
                data="1\n2\n",
                headers={"Content-Type": "text/plain"},
            )
    for told in (answer, streamed):
        if status == 422:
            assert told["type"].endswith("invalid")
            assert f"undo is {mode}" in told["detail"]
        else:
            assert (told["bundle"] is not None) == keeps
            assert not keeps or told["bundle"]["state"] == "waiting"


async def test_the_same_id_with_and_without_undo_is_two_requests(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(10)) as portal:
        settings = keeping_settings(server, portal, tmp_path, undo="optional")
        async with serving(settings, redis) as api:
            body: dict[str, Any] = {"portal": "main", "contact_ids": [1, 2], "id": "once", "undo": True}
            await api.json("POST", "/v1/jobs", status=202, json=body)
            await api.json("POST", "/v1/jobs", status=200, json=body)
            await api.json("POST", "/v1/jobs", status=409, json=body | {"undo": False})


async def test_plain_arq_asks_for_undo(redis: ArqRedis, server: EmbeddedServer, tmp_path: Path) -> None:
    async with simulator.running(World(10)) as portal:
        optional = keeping_settings(server, portal, tmp_path, undo="optional")
        strict = keeping_settings(server, portal, tmp_path)
        for number, undo in enumerate((True, False, None, "yes")):
            await redis.enqueue_job(
                "delete_contacts", _job_id=f"j{number}", portal="main", contact_ids=[1, 2], undo=undo
            )
            data = await read_message(redis, f"j{number}")
            assert data
            if undo == "yes":
                with pytest.raises(BadSubmission, match="undo: given"):
                    await accept(redis, optional, f"j{number}", data)
                continue
            await accept(redis, optional, f"j{number}", data)
            assert ((await read_job(redis, f"j{number}")).bundle is not None) == bool(undo)
            if undo is False:
                with pytest.raises(BadSubmission, match="undo is required"):
                    await accept(redis, strict, "refused", data)


async def test_the_page_offers_undo_and_shows_what_is_kept(
    redis: ArqRedis, server: EmbeddedServer, tmp_path: Path
) -> None:
    async with simulator.running(World(30)) as portal:
        settings = keeping_settings(server, portal, tmp_path, undo="optional")
        settings = settings.model_copy(update={"api": ApiSettings(keys=(api_key("anna"),))})
        async with working(settings), visiting(settings, redis, "anna") as [anna]:
            assert "cannot be undone" not in (await anna.look("/new/filter")).text
            kept = await anna.upload("1\n2\n3\n", portal="main")
            assert (await anna.look(kept.location)).markup.all("input", name="undo")
            sent = await anna.send(kept.location, count="3", do="submit", undo="yes")
            job_id = sent.location.split("/")[-1].split("?")[0]
            await ended(redis, job_id)
            screen = await anna.look(f"/jobs/{job_id}")
            assert "3 records kept, encrypted" in screen.text
            assert f"crm-sweep restore {job_id} --identity KEYFILE" in screen.text
            plain = await anna.upload("4\n5\n", portal="main")
            sent = await anna.send(plain.location, count="2", do="submit")
            other = sent.location.split("/")[-1].split("?")[0]
            await ended(redis, other)
            assert "crm-sweep restore" not in (await anna.look(f"/jobs/{other}")).text
            form = await anna.look("/new/filter")
            assert form.markup.all("input", name="undo")
            sent = await anna.send(
                "/new/filter",
                portal="main",
                everything="yes",
                undo="yes",
                id=form.markup.value("id"),
                label="",
                priority="normal",
            )
            filtered = await read_job(redis, sent.location.split("/")[-1].split("?")[0])
            assert filtered.bundle is not None
