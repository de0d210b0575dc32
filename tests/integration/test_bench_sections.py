"""The sections on storage, campaigns and recovery measure real runs, here of the smallest size."""

import json
import os
import signal
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest
from arq.connections import ArqRedis
from pyroaring import BitMap

from bench.contact_lists import contact_list, draw
from bench.downloaded import Ledger, judge
from bench.kept import Kept
from bench.ours import TOKEN
from bench.process import module
from bench.recorded import Recorded, read, write
from bench.redis_memory import Footprint, Peaks, footprint
from bench.section import table
from bench.simulated import simulated_portal
from bench.storage import others
from bench.truth_check import compare
from jobs.accept.submit import submit
from jobs.store import keys
from jobs.words.outcomes import Outcome
from simulator.client import SimulatorClient
from tests.support import loaded
from tests.support.home import Result, run_to_its_end
from tests.support.process_tree import children_of
from tests.support.submitting import request

ROOT = Path(__file__).parents[2]
#: Batches that the four lanes of `recovery` can hold: each may hold two for a moment.
MOST_HELD = 8


@pytest.fixture
async def portal() -> AsyncIterator[SimulatorClient]:
    async with simulated_portal() as portal:
        yield portal


def section(*arguments: str) -> Result:
    """Run a section to its end."""
    environment = loaded.plain_environment()
    return run_to_its_end(
        lambda output, errors: loaded.start(
            "bench", list(arguments), cwd=ROOT, env=environment, stdout=output, stderr=errors
        ),
        timeout_s=110,
    )


def bench(*arguments: str, json_to: Path) -> dict[str, Any]:
    ended = section(*arguments, "--json", str(json_to))
    assert ended.code == 0, ended.stderr
    assert ended.stdout.startswith("### ")
    document: dict[str, Any] = json.loads(json_to.read_text())
    return document


def test_storage_counts_the_list_the_work_and_the_ledger(tmp_path: Path) -> None:
    options = ("--ids", "3000", "--spread", "sparse", "--batch", "200", "--others", "0", "10")
    plain, mixed = bench("storage", *options, json_to=tmp_path / "out.json")["cases"]
    for case in (plain, mixed):
        submitted, peak, completed = case["bytes_per_id_keys"].values()
        assert 0 < submitted <= completed
        assert peak >= submitted  # no more if the machine is too busy to look while it runs
        assert {"segments", "ledger", "facts"} <= set(case["bytes"]["completed"]["by_kind"])
        assert case["samples"] > 0
    assert mixed["bytes_per_id_keys"]["completed"] > plain["bytes_per_id_keys"]["completed"]
    assert mixed["calls"] > plain["calls"]


def test_the_api_is_polled_beside_a_bare_handler_and_takes_a_list(tmp_path: Path) -> None:
    options = ("--rounds", "1", "--seconds", "1", "--clients", "2", "--ids", "20000")
    measured = bench("api", *options, json_to=tmp_path / "out.json")
    for rounds in measured["polls"].values():
        assert [one["polls"] > 0 < one["p50_ms"] <= one["p99_ms"] for one in rounds] == [True]
    intake = measured["intake"]
    assert 0 < intake["accepted_s"] <= intake["completed_s"]
    assert 0 < intake["api_idle_rss_bytes"] <= intake["api_peak_rss_bytes"]


def test_ledgers_and_events_are_sent_beside_bare_handlers(tmp_path: Path) -> None:
    options = ("--lines", "2000", "--rounds", "1", "--seconds", "1", "--clients", "2")
    measured = bench("reading", *options, json_to=tmp_path / "out.json")
    sizes = {name: [one["size"] for one in rounds] for name, rounds in measured["downloads"].items()}
    assert sizes["bare"] == sizes["ndjson"] > sizes["csv"] > [2000]
    for rounds in measured["events"]["2"].values():
        assert [one["pieces"] >= 2 and one["cpu_s"] > 0 for one in rounds] == [True]


def test_small_jobs_are_measured_beside_a_campaign(tmp_path: Path) -> None:
    options = ("--ids", "100000", "--jobs", "1", "--contacts", "10")
    measured = bench("fair-share", *options, json_to=tmp_path / "out.json")["small_jobs"]
    assert [one["priority"] for one in measured] == ["normal", "urgent", "normal", "background"]
    assert all(took_s > 0 for one in measured for took_s in one["took_s"])


def test_deletions_are_measured_beside_a_receiver_that_hangs(tmp_path: Path) -> None:
    options = ("--jobs", "5", "--rounds", "1")
    measured = bench("webhooks", *options, json_to=tmp_path / "out.json")["webhooks"]
    assert [one["receiver"] for one in measured] == ["none", "answers", "hangs"]
    assert all(one["took_s"] > 0 for one in measured)


def test_the_ledger_of_a_run_that_was_killed_is_true(tmp_path: Path) -> None:
    options = ("--ids", "20000", "--kills", "1", "--batch", "100")
    measured = bench("one-shot", *options, json_to=tmp_path / "out.json")["one_shot"]
    assert len(measured["resumes_s"]) == 1
    assert measured["peaks"]["valkey-server"] > 0
    assert (measured["verdict"]["lost"], measured["verdict"]["untrue"], measured["verdict"]["resent"]) == (0, 0, 0)


def test_a_campaign_goes_from_a_file_to_the_portal(tmp_path: Path) -> None:
    measured = bench("campaign", "--ids", "5000", json_to=tmp_path / "out.json")["campaign"]
    assert measured["ids"] == 5000
    assert measured["puts"] >= 5
    assert measured["submitter_rss_bytes"] > 20_000_000
    assert measured["worker_peak_rss_bytes"] >= measured["worker_idle_rss_bytes"] > 20_000_000
    assert measured["redis_completed"]["by_kind"]["segments"] > 0
    assert 0 < measured["run_s"] < measured["total_s"]


def test_a_plan_is_measured_with_its_run_beside_one_without_and_with_its_worker_killed(tmp_path: Path) -> None:
    options = ("--contacts", "2000", "--portal-contacts", "60000", "--ids", "3000", "--models", "zero", "--pairs", "1")
    more = ("--pair-ids", "2000", "--kills", "1", "--redis-kills", "0", "--kill-contacts", "3000")
    measured = bench("plan", *options, *more, json_to=tmp_path / "out.json")
    by_look_ups, by_listing, everything = measured["plans"]
    assert (by_look_ups["way"], by_listing["way"], everything["way"]) == ("look_ups", "listing", "listing")
    assert by_listing["calls"]["listing"] >= 60 > by_look_ups["calls"]["listing"]
    for plan in measured["plans"]:
        assert sum(plan["counts"].values()) == plan["contacts"]
        assert plan["redis_bytes"]["verdicts"] > 0
    assert everything["run_s"] > 0
    assert 0.3 < measured["worst_case_bytes_per_id"] < 0.5
    [pair] = measured["pairs"]["zero"]
    assert pair["with_plan"]["contacts"] == pair["without"]["contacts"] == 2000
    assert pair["ratio"] > 0
    kills = measured["kills"]
    assert (kills["untrue"], kills["kills"]) == (0, 1)
    assert kills["calls_undisturbed"] <= kills["calls"] <= 1.2 * kills["calls_undisturbed"]


def test_receipts_are_made_and_verified(tmp_path: Path) -> None:
    steps = bench("receipts", "--ids", "70000", json_to=tmp_path / "out.json")["steps"]
    cpu_s = {step["name"]: step["cpu_s"] for step in steps}
    assert cpu_s["receipt, kept"] < cpu_s["receipt"]
    assert min(step["wall_s"] for step in steps) > 0
    assert min(step["peak_rss_bytes"] for step in steps) > 20_000_000


@pytest.mark.parametrize("fault", ["kill", "replace", "terminate", "redis"])
def test_a_fault_in_the_middle_costs_time_and_no_contact(fault: str, tmp_path: Path) -> None:
    # Long enough for a second worker to start meanwhile, however busy the machine.
    options = ("--only", fault, "--repeats", "1", "--ids", "30000", "--down-s", "0.5")
    [run] = bench("recovery", *options, json_to=tmp_path / "out.json")["interruptions"][fault]
    assert run["resumed_s"] >= 0
    assert run["held"] <= MOST_HELD
    assert run["verdict"]["lost"] == run["verdict"]["untrue"] == run["verdict"]["resent"] == 0
    # Between the look at the claims and the death of Redis, lanes may claim other batches.
    doubtful = MOST_HELD if fault == "redis" else run["held"]
    assert run["verdict"]["presumed"] <= doubtful * 100


def test_an_idle_system_is_timed_job_by_job(tmp_path: Path) -> None:
    options = ("--only", "idle", "--starts", "3", "--idle-s", "0.5")
    idle = bench("recovery", *options, json_to=tmp_path / "out.json")["idle"]
    assert len(idle["start_ms"]) == 3
    for start_ms, submit_ms in zip(idle["start_ms"], idle["submit_ms"], strict=True):
        assert start_ms > 0
        assert submit_ms > 0
    assert idle["worker_percent"] >= 0


async def test_the_comparison_finds_what_a_ledger_leaves_out(redis: ArqRedis, portal: SimulatorClient) -> None:
    await portal.reset(contacts=20)
    accepted = await submit(redis, request(portal="bench", ids=BitMap(range(1, 11))))
    untouched = await compare(redis, accepted.job_id, BitMap(range(1, 13)), portal)
    assert (untouched.lost, untouched.untrue) == (12, 0)


async def test_a_footprint_holds_all_keys_of_the_job_and_no_other(redis: ArqRedis) -> None:
    first = await submit(redis, request(portal="bench", ids=BitMap(range(1, 100_000, 7))))
    await submit(redis, request(portal="bench", ids=BitMap([1])))
    measured = await footprint(redis, first.job_id)
    sizes = [await redis.memory_usage(key(first.job_id), samples=0) for key in (keys.job, keys.segments)]
    assert measured.by_kind == {"facts": sizes[0], "segments": sizes[1]}
    assert measured.used > measured.keys == sum(sizes)


def test_peaks_keep_the_largest_of_both_views() -> None:
    peaks = Peaks()
    for seen in (Footprint(100, 0, {"items": 9}), Footprint(150, 100, {"items": 30}), Footprint(90, 0, {})):
        peaks.note(seen)
    assert peaks.used.used == 100  # the second one is larger only by the buffers of connections
    assert peaks.keys.keys == 30


def test_a_drawn_list_has_as_many_different_ids_as_asked_for_and_is_the_same_for_the_same_seed() -> None:
    drawn = [contact_id for some in draw(150_000, 450_000, seed=3) for contact_id in some]
    assert len(set(drawn)) == len(drawn) == 150_000
    assert 1 <= min(drawn) < max(drawn) <= 450_000
    assert drawn != sorted(drawn)
    assert contact_list(150_000, 450_000, seed=3) == BitMap(drawn) != contact_list(150_000, 450_000, seed=4)


def test_other_outcomes_are_as_many_as_asked_for_and_never_two_of_one_contact() -> None:
    ids = contact_list(3000, 9000, seed=1)
    missing, read_only, invoiced = others(ids, 10, seed=1)
    assert [len(each) for each in (missing, read_only, invoiced)] == [100, 100, 100]
    assert len(missing | read_only | invoiced) == 300
    assert (missing | read_only | invoiced) <= ids


def test_a_table_has_a_row_for_every_list_of_cells() -> None:
    assert table(("what", "n"), [["a", "1"]]) == "| what | n |\n| --- | --: |\n| a | 1 |"


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
async def test_no_process_outlives_an_interrupted_section(signum: signal.Signals) -> None:
    # A long outage of Redis: the section is interrupted while it sleeps or works, with everything running.
    async with module("bench", "recovery", "--only", "redis", "--down-s", "60", ready=None) as section:
        tree = await children_of(psutil.Process(section.pid), 3)  # the portal, the server, the worker
        os.kill(section.pid, signum)
        _, alive = psutil.wait_procs(tree, timeout=20)
    assert not alive


def test_tracing_measures_every_variant(tmp_path: Path) -> None:
    options = ("--ids", "1000", "--rounds", "1", "--concurrency", "2")
    costs = bench("tracing", *options, json_to=tmp_path / "out.json")["cpu_us_per_call"]
    assert list(costs) == ["without", "off", "not-sampled", "drawn", "all"]
    assert all(len(each) == 1 and each[0] > 0 for each in costs.values())


def test_a_restore_is_measured_and_compared_under_fire(tmp_path: Path) -> None:
    options = ("--only", "fire", "--contacts", "30", "--kills", "1", "--write-ms", "30")
    [measured] = bench("restore", *options, json_to=tmp_path / "out.json")["restores"]
    assert (measured["twice"], measured["missing"], measured["untrue"], measured["differing"]) == (0, 0, 0, 0)
    assert (measured["kills"], measured["refused"]) == (1, 1)
    assert measured["calls"]["set_details"] >= 1


def test_a_job_of_any_size_is_followed_to_its_downloaded_ledger(tmp_path: Path) -> None:
    options = ("--ids", "3000", "--batch", "500", "--folder", str(tmp_path / "lists"))
    [one] = bench("scale", *options, json_to=tmp_path / "out.json")["scale"]
    assert sum(one["counts"].values()) == 3000
    assert one["counts"]["deleted"] > 2900
    assert (one["verdict"]["lost"], one["verdict"]["untrue"], one["verdict"]["resent"]) == (0, 0, 0)
    assert one["calls"] >= 6
    assert set(one["peak_rss_bytes"]) == {"submitter", "worker", "api", "redis", "portal"}
    assert min(one["peak_rss_bytes"].values()) > 5_000_000
    assert not (tmp_path / "out.json.partial").exists()
    assert (tmp_path / "lists" / "contacts-3000-1.txt").exists()


def test_many_portals_are_driven_at_their_rates_and_their_jobs_in_turn(tmp_path: Path) -> None:
    options = ("--portals", "3", "--jobs", "6", "--contacts", "12", "--rate", "20", "--workers", "1")
    quick = ("--idle-s", "0.3", "--scrapes", "1")
    one = bench("portals", *options, *quick, json_to=tmp_path / "out.json")["portals"]
    assert [len(each) for each in one["half_way"]] == [2, 2, 2]
    assert one["calls"] >= 36
    assert len(one["busiest_second"]) == 3
    assert max(one["busiest_second"]) <= 21
    assert set(one["view_ms"]) == set(one["view_cpu_ms"])
    assert one["busy"]["redis"]["commands"] > 0


def test_a_call_is_divided_by_library_function_and_script_and_drawn(tmp_path: Path) -> None:
    options = ("--batch", "50", "--calls", "300", "--rounds", "1", "--images", str(tmp_path / "images"))
    [profile] = bench("profile", *options, json_to=tmp_path / "out.json")["profiles"]
    assert min(profile["bare_us"], profile["worker_us"], profile["redis_us"], profile["samples"]) > 0
    assert sum(profile["groups_us"].values()) == pytest.approx(profile["worker_us"])
    assert profile["with_callees_us"]["worker.lane.Lane._drive"] > 0
    assert {"next_batch", "settle"} <= set(profile["scripts"])
    picture = (tmp_path / "images" / "profile-50.svg").read_text()
    assert "Lane._drive: " in picture
    assert str(ROOT) not in picture


def test_ratios_are_recorded_and_a_row_that_falls_is_named(tmp_path: Path) -> None:
    file = tmp_path / "recorded.toml"
    options = ("check", "--only", "zero-100", "--ids", "20000", "--rounds", "1", "--recorded", str(file))

    first = section(*options, "--record", "--runs", "1")
    assert (first.code, list(read(file))) == (0, ["zero-100-speed", "zero-100-cpu"])
    # Nothing can be a thousand times as fast as it was, or keep up with what was.
    slow, fast = Recorded(0.0001, 0.0001, 0.0001, 1, 0.05), Recorded(1000.0, 1000.0, 1000.0, 1, 0.05)
    write(file, {"zero-100-speed": slow, "zero-100-cpu": fast})
    second = section(*options)
    assert second.code == 1
    assert "zero-100-cpu fell from 1000.00 to " in second.stderr
    assert "zero-100 fell; once more:" in second.stderr
    assert "| rose |" in second.stdout
    write(file, {"zero-100-speed": slow})
    third = section(*options)
    assert third.code == 0
    assert "| not recorded yet |" in third.stdout


def test_what_a_call_a_job_and_a_contact_cost_redis_is_measured(tmp_path: Path) -> None:
    options = ("--workers", "1", "--calls", "40", "--jobs", "10", "--ids", "3000", "--idle-s", "0.3")
    measured = bench("capacity", *options, json_to=tmp_path / "out.json")
    assert [one["batch"] for one in measured["calls"]] == [10, 1000]
    assert all(one["calls"] == 40 and one["scripts"] >= 40 and one["redis_us"] >= 0 for one in measured["calls"])
    assert measured["jobs"]["waiting_bytes"] > 0
    assert [one["spread"] for one in measured["contacts"]] == ["dense", "sparse"]


def test_work_with_a_replica_that_has_every_claim_is_measured_beside_work_without(tmp_path: Path) -> None:
    options = ("--models", "zero", "--batches", "50", "--puts", "20", "--rounds", "1", "--turns", "1")
    [case] = bench("replication", *options, json_to=tmp_path / "out.json")["replication"]
    [one] = case["rounds"]
    assert one["with"]["contacts"] == one["without"]["contacts"] == 1000
    assert one["ratio"] > 0


async def test_measured_parts_are_taken_again_after_an_interruption_but_only_with_the_same_options(
    tmp_path: Path,
) -> None:
    measured: list[str] = []

    async def measure() -> dict[str, int]:
        measured.append("now")
        return {"n": len(measured)}

    out = tmp_path / "out.json"
    assert await Kept(out, {"batch": 5}).part("one", measure) == {"n": 1}
    again = Kept(out, {"batch": 5})
    assert await again.part("one", measure) == {"n": 1}
    assert await again.part("two", measure) == {"n": 2}
    assert await Kept(out, {"batch": 6}).part("one", measure) == {"n": 3}
    again.forget()
    assert not out.with_name("out.json.partial").exists()
    assert await Kept(None, {}).part("one", measure) == {"n": 4}


async def test_a_downloaded_ledger_that_leaves_out_or_makes_up_a_contact_is_found_out(portal: SimulatorClient) -> None:
    await portal.reset(contacts=20, read_only=[3], missing=[4])
    async with (
        aiohttp.ClientSession(portal.url, headers={"Authorization": TOKEN}) as session,
        session.put("/api/2.0/crm/contact", json={"contactids": [1, 2, 3, 4]}) as answer,
    ):
        assert answer.status == 200

    async def untrue_and_lost(ids: Iterable[int], **by_outcome: list[int]) -> tuple[int, int]:
        told = {Outcome(name): BitMap(some) for name, some in by_outcome.items()}
        verdict = await judge(Ledger(told, 0, 0, 0.0), BitMap(ids), portal)
        return verdict.untrue, verdict.lost

    assert await untrue_and_lost([1, 2, 3, 4], deleted=[1, 2], refused=[3], not_found=[4]) == (0, 0)
    assert await untrue_and_lost([1, 2, 3, 4], deleted=[1, 2, 3], not_found=[4]) == (1, 0)
    assert await untrue_and_lost([1, 2, 3, 4], deleted=[1], refused=[3], not_found=[2, 4]) == (1, 0)
    assert await untrue_and_lost([1, 2, 3, 4], deleted=[1, 2], not_found=[3, 4]) == (1, 0)
    assert await untrue_and_lost([1, 2, 3, 4], deleted=[1, 2], refused=[3, 4]) == (1, 0)
    assert await untrue_and_lost([1, 2, 3, 4, 5], deleted=[1, 2], refused=[3], not_found=[4]) == (0, 1)
    assert await untrue_and_lost([1, 3, 4], deleted=[1, 2], refused=[3], not_found=[4]) == (1, 1)
