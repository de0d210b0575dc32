"""The benchmarks measure what they claim: every variant deletes every contact exactly once."""

import asyncio
import importlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import psutil
import pytest

from bench.__main__ import SECTIONS
from bench.load import Load
from bench.measure import Measurement
from bench.process import ChildError, embedded_redis, module, running
from bench.report import markdown, ratios
from bench.rounds import MODELS, Model, measure_rounds, run_once, stub_portal
from bench.stub_portal import Latency
from bench.variants import VARIANTS, VariantMissingError, find, lacking
from tests.support.process_tree import children_of

ROOT = Path(__file__).parents[2]
CONTACTS, BATCH, CONCURRENCY = 330, 50, 4  # the last batch is shorter


@pytest.fixture
async def portal_url() -> AsyncIterator[str]:
    async with stub_portal(MODELS["zero"], element_bytes=610, track_ids=True) as url:
        yield url


@pytest.fixture
async def redis_url() -> AsyncIterator[str]:
    async with embedded_redis() as url:
        yield url


async def stats_of(portal_url: str, until: int = 0) -> dict[str, float]:
    async with aiohttp.ClientSession() as session, session.get(f"{portal_url}/stats?until={until}") as response:
        stats: dict[str, float] = await response.json()
        return stats


async def put(portal_url: str, contact_ids: list[int]) -> bytes:
    async with (
        aiohttp.ClientSession() as session,
        session.put(f"{portal_url}/api/2.0/crm/contact?fields=id", json={"contactids": contact_ids}) as response,
    ):
        assert response.status == 200
        return await response.read()


def a_measurement(contacts_per_s: float) -> Measurement:
    return Measurement(
        contacts=1000,
        puts=1,
        elapsed_s=1000 / contacts_per_s,
        enqueue_s=0.0,
        settled_s=0.0,
        cpu_s=0.002,
        peak_rss_bytes=40_000_000,
    )


@pytest.mark.parametrize("name", VARIANTS)
async def test_every_variant_deletes_every_contact_exactly_once(name: str, redis_url: str) -> None:
    if faults := lacking(name):
        pytest.skip("; ".join(faults))
    # The portal takes everything, for long enough that calls overlap: the limit must be the variant's own.
    model = Model("", base_ms=5, per_contact_ms=0, portal_concurrency=0, contacts=0)
    async with stub_portal(model, element_bytes=610, track_ids=True) as portal_url:
        measured = await run_once(name, Load(portal_url, redis_url, CONTACTS, BATCH, CONCURRENCY))
        stats = await stats_of(portal_url)
    assert stats["contacts"] == stats["distinct"] == measured.contacts == CONTACTS
    assert stats["puts"] == measured.puts == 7
    assert stats["in_flight_max"] <= CONCURRENCY
    assert 0 < measured.elapsed_s <= measured.settled_s
    assert measured.peak_rss_bytes > 0


async def test_a_portal_that_counts_a_contact_twice_fails_the_run(
    portal_url: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = find("bare")

    async def sends_one_again(load: Load) -> Measurement:
        await put(load.portal_url, [7])
        return await honest.run(load)

    monkeypatch.setitem(VARIANTS, "twice", type(honest)("", sends_one_again, "bench.bare_loop"))
    with pytest.raises(RuntimeError, match=f"twice sent {CONTACTS + 1} contacts"):
        await run_once("twice", Load(portal_url, redis_url, CONTACTS, BATCH, CONCURRENCY))


async def test_rounds_run_every_variant_once_each_and_list_them_as_asked(portal_url: str, redis_url: str) -> None:
    load = Load(portal_url, redis_url, CONTACTS, BATCH, CONCURRENCY)
    rounds = await measure_rounds(load, ["raw-json", "bare"], rounds=2, seed=1)
    assert [list(each) for each in rounds] == [["raw-json", "bare"]] * 2


@pytest.mark.parametrize("element_bytes", [0, 610])
async def test_the_stub_lists_the_ids_of_the_request_in_either_form(element_bytes: int) -> None:
    async with stub_portal(MODELS["zero"], element_bytes=element_bytes) as url:
        envelope = json.loads(await put(url, [101, 7, 2147483647]))
    elements = envelope.pop("response")
    assert envelope == {"count": 3, "status": 0, "statusCode": 200}
    assert [element["id"] for element in elements] == [101, 7, 2147483647]
    assert (elements[0] == {"id": 101}) == (element_bytes == 0)


async def test_a_contact_in_the_stubs_answer_has_the_size_that_was_asked_for() -> None:
    async with stub_portal(MODELS["zero"], element_bytes=610) as url:
        one, eleven = await put(url, [100000]), await put(url, list(range(100000, 100011)))
    # Counted on the wire: ten more contacts, each with its comma, and one more digit in the count.
    assert len(eleven) - len(one) == 10 * (610 + 1) + 1


async def test_the_stub_works_on_no_more_batches_at_once_than_it_has_slots() -> None:
    model = Model("", base_ms=5, per_contact_ms=0, portal_concurrency=2, contacts=0)
    async with stub_portal(model, element_bytes=0) as url:
        await asyncio.gather(*(put(url, [number]) for number in range(1, 9)))
        stats = await stats_of(url)
    assert (stats["contacts"], stats["puts"], stats["in_flight_max"]) == (8, 8, 2)


async def test_the_stub_holds_its_counters_back_until_the_last_contact(portal_url: str) -> None:
    waiting = asyncio.create_task(stats_of(portal_url, until=3))
    await put(portal_url, [1, 2])
    assert not waiting.done()
    await put(portal_url, [3])
    assert (await waiting)["contacts"] == 3


async def test_the_stub_has_an_empty_answer_for_readers_and_a_token_for_anybody(portal_url: str) -> None:
    async with aiohttp.ClientSession(portal_url) as session:
        async with session.get("/api/2.0/crm/contact/mail?contactids=1&contactids=2") as response:
            assert await response.json() == {"status": 0, "statusCode": 200, "response": []}
        async with session.post("/api/2.0/authentication", json={"userName": "a", "password": "b"}) as response:
            assert response.status == 201
            assert (await response.json())["response"]["token"]
        async with session.post("/reset") as response:
            assert (await response.json())["contacts"] == 0


def test_latency_is_shared_by_the_batch_and_grows_with_it() -> None:
    assert Latency(base_ms=50, per_contact_ms=2).of(1000) == pytest.approx(2.05)


def test_ratios_are_taken_inside_a_round() -> None:
    rounds = [
        {"bare": a_measurement(1000), "arq": a_measurement(500)},
        {"bare": a_measurement(100), "arq": a_measurement(20)},
    ]
    assert ratios(rounds, "arq", "bare") == pytest.approx([0.5, 0.2])
    table = markdown(rounds, title="t", facts={"Python": "3"}, command=("python", "-m", "bench"))
    assert "| arq | 260 | 0.35 (0.20-0.50) | - | 2.00 | 40 |" in table


async def test_a_worker_that_dies_ends_the_run_with_its_last_words() -> None:
    with pytest.raises(ChildError, match="no such file or thing"):
        async with running("worker", (sys.executable, "-c", "raise SystemExit('no such file or thing')")):
            pass


def test_an_unknown_variant_is_refused_by_name() -> None:
    with pytest.raises(VariantMissingError, match="'hare'"):
        find("hare")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_no_process_outlives_an_interrupted_benchmark(signum: signal.Signals) -> None:
    arguments = ("speed", "--model", "realistic", "--ids", "100000", "--variants", "arq", "--rounds", "1")
    async with module("bench", *arguments, ready=None) as bench:
        parent = psutil.Process(bench.pid)
        tree = await children_of(parent, 3)  # the server, the portal, the worker
        os.kill(bench.pid, signum)
        gone, alive = await asyncio.to_thread(psutil.wait_procs, tree, timeout=20)
    assert not alive
    assert len(gone) == 3


@pytest.mark.parametrize("section", [name for name in SECTIONS if name != "intake"])
def test_every_section_shows_its_options_and_commands_that_can_be_copied(
    section: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="0"):
        importlib.import_module(SECTIONS[section].module).main(["--help"])
    told = capsys.readouterr().out
    assert f"usage: python -m bench {section} " in told
    assert "--json OUT" in told
    for example in told.partition("examples:\n")[2].splitlines():
        assert example.startswith(f"  python -m bench {section}")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["speed", "--ids", "many"], "expected a whole number above 0, not 'many'"),
        (["speed", "--variants", "hare"], "no variant is called 'hare'"),
        (["sped"], "there is no section 'sped'"),
    ],
)
def test_the_command_line_refuses_what_it_does_not_know(arguments: list[str], complaint: str) -> None:
    command = (sys.executable, "-m", "bench", *arguments)
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert complaint in ended.stderr
