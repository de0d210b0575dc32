"""What a worker and the API really log: one full line per batch, and only documented fields."""

import io
import json
import re
from typing import Any

import pytest
from arq.connections import ArqRedis

import simulator
from cli.embedded import EmbeddedServer
from jobs.words.outcomes import Outcome
from simulator import World
from tests.support.documents import ROOT
from tests.support.serving import serving
from tests.support.sweeping import MARKS, accept, ended, settings_of
from tests.support.waiting import until
from worker.main import working

pytestmark = MARKS

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()

#: Fields on every line, and on those of a worker, of a lane and of a batch.
ALWAYS = {"timestamp", "level", "event"}
BOUND = {"worker", "portal", "job_id"}


def documented() -> dict[str, tuple[set[str], set[str]]]:
    """Return every documented event with its levels and fields."""
    table = OPERATIONS.partition("\n## Log events\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|[^|]*\|([^|]*)\|$", table, re.MULTILINE)
    found = {
        event: (set(re.findall(r"\w+", levels)), set(re.findall(r"`(\w+)`", fields))) for event, levels, fields in rows
    }
    found["batch"][1].update(outcome.value for outcome in Outcome)
    found["batch_failed"][1].update(found["batch"][1])
    return found


def lines_of(log: io.StringIO) -> list[dict[str, Any]]:
    """Return our own lines, without those of libraries."""
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    return [line for line in lines if "logger" not in line]


def check_fields(lines: list[dict[str, Any]]) -> None:
    table = documented()
    for line in lines:
        levels, fields = table[line["event"]]
        assert line["level"] in levels, line
        assert set(line) - ALWAYS - BOUND <= fields, line


async def test_each_batch_is_one_full_line(redis: ArqRedis, server: EmbeddedServer, log: io.StringIO) -> None:
    async with simulator.running(World(500, read_only=20)) as portal, working(settings_of(server, portal)) as fleet:
        jobs = [await ended(redis, await accept(redis, range(1 + 250 * n, 251 + 250 * n))) for n in (0, 1)]
    lines = lines_of(log)
    check_fields(lines)
    batches = [line for line in lines if line["event"] == "batch"]
    assert len(batches) == sum(job.requests.sent for job in jobs)
    for job in jobs:
        own = [line for line in batches if line["job_id"] == job.id]
        assert len(own) == job.requests.sent
        for outcome in (Outcome.DELETED, Outcome.REFUSED):
            assert sum(line.get(outcome, 0) for line in own) == job.counts[outcome]
    for line in batches:
        assert (line["portal"], line["worker"]) == ("main", fleet.name)
        assert line["size"] == line["undecided"] + sum(line.get(outcome, 0) for outcome in Outcome)
        assert {"seq", "call", "took_ms", "http_status"} <= line.keys()
    assert len({line["seq"] for line in batches}) == len(batches)
    lanes = [line for line in lines if line["event"] == "lane_ended"]
    assert lanes
    assert all("job_id" not in line and line["portal"] == "main" for line in lanes)


async def test_a_failed_batch_says_why_in_the_same_words(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    async with simulator.running(World(40)) as portal:
        portal.faults.rules.append(simulator.Fault(fault="error", when="after", next_calls=1))
        async with working(settings_of(server, portal, max_concurrency=1)):
            job = await ended(redis, await accept(redis, range(1, 41)))
    lines = lines_of(log)
    check_fields(lines)
    [failed] = [line for line in lines if line["event"] == "batch_failed"]
    assert (failed["job_id"], failed["portal"], failed["level"]) == (job.id, "main", "warning")
    assert (failed["action"], failed["reason"], failed["http_status"]) == ("retry", "portal_error", 500)
    assert failed["undecided"] == failed["size"] == 40


async def test_contact_ids_and_what_people_type_are_not_logged(
    redis: ArqRedis, server: EmbeddedServer, log: io.StringIO
) -> None:
    body: dict[str, Any] = {
        "portal": "main",
        "contact_ids": [4_000_001, 4_000_002],
        "label": "for zebulon@quagmire.example",
    }
    bad = body | {"contact_ids": ["zebulon@quagmire.example", 4_000_003]}
    async with simulator.running(World(10)) as portal:
        settings = settings_of(server, portal)
        async with serving(settings, redis) as api, working(settings):
            job = await api.json("POST", "/v1/jobs", json=body, status=202)
            await ended(redis, job["id"])
            await api.json("POST", "/v1/jobs", json=bad, status=422)
            for name, request in (("by-arq", body), ("bad-by-arq", bad)):
                await redis.enqueue_job("delete_contacts", _job_id=name, **request)
                await answered(redis, name)
            await ended(redis, "by-arq")
    check_fields(lines_of(log))
    assert {"by-arq", "bad-by-arq", job["id"]} <= {line.get("job_id") for line in lines_of(log)}
    assert "zebulon" not in log.getvalue()
    assert not re.search(r"400000[123]", log.getvalue())


async def answered(redis: ArqRedis, arq_job_id: str) -> None:
    """Wait until arq has the result of a message."""

    async def look() -> bool:
        return bool(await redis.exists(f"arq:result:{arq_job_id}"))

    await until(look)


@pytest.mark.parametrize("event", sorted(documented()))
def test_the_table_of_events_is_well_formed(event: str) -> None:
    levels, _ = documented()[event]
    assert levels
    assert levels <= {"debug", "info", "warning", "error"}
