"""The judges of a run with hosts notice every broken promise and every call that should not, or should, have been."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from chaos.hosts.asides import CUT_OFF_FROM_REDIS
from chaos.hosts.calls import Arrival, Calls, judge_resumption, judge_silence
from chaos.hosts.failovers import ACTS, CUT_OFF_WITH_PRIMARY
from chaos.hosts.network import Pair, pairs
from chaos.hosts.plan import LEASE_S, HostsPlan, Submission
from chaos.hosts.promises import Promise
from chaos.hosts.promotions import Promotion
from chaos.hosts.slow_path import LATE, link_address
from chaos.hosts.troubles import Trouble, Troubles
from tests.support.documents import ROOT, first_column


def job(state: str = "running", **counts: int) -> dict[str, Any]:
    counts = counts or {"pending": 3}
    return {"state": state, "total": sum(counts.values()), "counts": counts}


def promise(**answers: Any) -> Promise:
    return Promise(Submission("job-1", BitMap([1, 2, 3]), planned=True, cancelled=True), **answers)


def test_promises_that_stand_are_believed() -> None:
    made = promise(accepted_s=1.0)
    made.kept(0.5, None)  # asked before it was accepted
    for state in ("planning", "awaiting_approval", "queued", "running"):
        made.kept(2.0, job(state))
    made.approved_s = 3.0
    made.kept(2.5, job("awaiting_approval"))  # asked before it was approved
    made.kept(4.0, job("running"))
    made.cancelled_s = 5.0
    made.kept(6.0, job("cancelling"))
    for _ in range(2):
        made.kept(7.0, job("cancelled", deleted=1, skipped=2))
    assert made.ended
    assert made.problems == []


@pytest.mark.parametrize(
    ("answers", "shown", "word"),
    [
        ({"accepted_s": 1.0}, [None], "is unknown"),
        ({"accepted_s": 1.0}, [job(pending=2)], "has 2 of its 3"),
        ({"accepted_s": 1.0}, [{**job(), "counts": {"pending": 2}}], "do not add up"),
        ({"accepted_s": 1.0}, [{**job(), "counts": {"pending": 4, "deleted": -1}}], "do not add up"),
        ({"accepted_s": 1.0, "approved_s": 1.5}, [job("awaiting_approval")], "was approved, and is awaiting_approval"),
        ({"accepted_s": 1.0, "cancelled_s": 1.5}, [job("running")], "was cancelled, and is running"),
        ({"accepted_s": 1.0}, [job("completed", deleted=3), job("running")], "had ended as completed"),
        ({"accepted_s": 1.0}, [job("completed", deleted=3), job("completed", not_found=3)], "had ended as completed"),
        ({"accepted_s": 1.0}, [job("completed", deleted=3), None], "is unknown"),
    ],
)
def test_every_broken_promise_is_found(answers: dict[str, float], shown: list[Any], word: str) -> None:
    made = promise(**answers)
    for one in shown:
        made.kept(2.0, one)
    assert [problem for problem in made.problems if word in problem], made.problems


def cut_off(name: str = CUT_OFF_FROM_REDIS) -> Troubles:
    hosts = frozenset({"worker-1", "redis-2"})
    return Troubles([Trouble(name=name, hosts=hosts, start_s=99.0, end_s=121.0, parted_s=100.0, joined_s=120.0)])


def silence(troubles: Troubles, *arrivals: Arrival) -> Calls:
    found = Calls()
    judge_silence(found, arrivals, troubles)
    return found


def test_a_worker_may_use_its_lease_up_after_it_was_cut_off() -> None:
    found = silence(cut_off(), *(Arrival("delete", "worker-1", at_s) for at_s in (99.0, 101.0, 100.0 + LEASE_S, 120.5)))
    assert found.problems == []
    [one] = found.silences
    assert one.worker == "worker-1"
    assert one.cut_off_s == pytest.approx(20.0)
    assert one.last_call_s == pytest.approx(LEASE_S)


@pytest.mark.parametrize("kind", ["delete", "look_up"])
def test_a_call_after_the_lease_has_lapsed_is_found(kind: str) -> None:
    found = silence(cut_off(), Arrival(kind, "worker-1", 110.0))
    assert [one.calls_too_late for one in found.silences] == [1]
    assert "worker-1 was cut off" in found.problems[0]


def test_calls_of_others_are_not_its_own() -> None:
    assert silence(cut_off(), Arrival("delete", "worker-2", 110.0)).problems == []


def test_with_a_primary_at_its_side_a_worker_may_look_up_and_not_delete() -> None:
    assert silence(cut_off(CUT_OFF_WITH_PRIMARY), Arrival("look_up", "worker-1", 110.0)).problems == []
    assert silence(cut_off(CUT_OFF_WITH_PRIMARY), Arrival("delete", "worker-1", 110.0)).problems


def promotion(epoch: int, promoted_s: float, able_s: float | None) -> Promotion:
    return Promotion(epoch=epoch, old="redis-1", new="redis-2", promoted_s=promoted_s, during="a test", able_s=able_s)


def resumption(troubles: Troubles, promotions: list[Promotion], *arrivals: Arrival) -> Calls:
    found = Calls()
    judge_resumption(found, arrivals, promotions, troubles, ["worker-1", "worker-2"])
    return found


def test_both_workers_have_to_go_on() -> None:
    both = [promotion(1, 100.0, 102.0)], Arrival("delete", "worker-1", 103.0), Arrival("look_up", "worker-2", 104.5)
    found = resumption(Troubles(), *both)
    assert [one.after_s for one in found.resumptions] == pytest.approx([1.0, 2.5])
    assert found.problems == []
    assert "worker-2 made no call within 10 s" in resumption(Troubles(), *both[:2]).problems[0]
    assert resumption(Troubles(), *both[:2], Arrival("delete", "worker-2", 112.5)).problems
    assert resumption(Troubles(), *both[:2], Arrival("delete", "worker-2", 111.5)).problems == []


def test_one_of_them_has_to_go_on_at_once() -> None:
    late = (Arrival("delete", worker, 107.5) for worker in ("worker-1", "worker-2"))
    assert "nobody made a call within 5 s" in resumption(Troubles(), [promotion(1, 100.0, 102.0)], *late).problems[0]


def test_a_worker_in_trouble_is_excused_and_so_is_a_fail_over_that_another_one_follows() -> None:
    in_trouble = Troubles([Trouble(name="frozen", hosts=frozenset({"worker-2"}), start_s=105.0)])
    found = resumption(in_trouble, [promotion(1, 100.0, 102.0)], Arrival("delete", "worker-1", 103.0))
    assert [one.worker for one in found.resumptions] == ["worker-1"]
    assert found.problems == []
    assert resumption(Troubles(), [promotion(1, 100.0, 102.0), promotion(2, 104.0, None)]).resumptions == []


def test_what_happens_after_the_first_call_excuses_nobody() -> None:
    in_trouble = Troubles([Trouble(name="frozen", hosts=frozenset({"worker-2"}), start_s=105.0)])
    both = Arrival("delete", "worker-1", 103.0), Arrival("delete", "worker-2", 104.0)
    for troubles, promotions in (
        (in_trouble, [promotion(1, 100.0, 102.0)]),
        (Troubles(), [promotion(1, 100.0, 102.0), promotion(2, 105.0, None)]),
    ):
        assert [one.after_s for one in resumption(troubles, promotions, *both).resumptions] == [1.0, 2.0]


def test_every_misfortune_of_servers_is_described() -> None:
    assert sorted(first_column(ROOT / "docs" / "reliability.md", "Misfortunes of servers")) == sorted(ACTS)


def test_pairs_are_of_two_hosts_in_no_order() -> None:
    assert pairs(["a", "b"], ["b", "c"]) == {Pair("ab"), Pair("ac"), Pair("bc")}


@given(st.integers(1, 254), st.integers(0, 65_535))
def test_the_address_of_a_late_packet_says_for_whom_it_is_and_when(number: int, delay_ms: int) -> None:
    assert LATE.read(bytes.fromhex(LATE.link_address(number, delay_ms).replace(":", ""))) == (number, delay_ms)
    assert LATE.read(bytes.fromhex(link_address(number).replace(":", ""))) is None


@given(st.integers(0, 1_000_000), st.floats(0.1, 3.0))
def test_every_contact_is_on_one_list(seed: int, minutes: float) -> None:
    plan = HostsPlan(
        minutes=minutes, failovers=0, workers=2, min_replicas=2, replica_timeout_s=1.0, seed=seed, fault_rate=0.0
    )
    submissions = list(plan.submissions())
    assert sum(len(one.ids) for one in submissions) == plan.contacts
    assert BitMap.union(BitMap(), *(one.ids for one in submissions)) == BitMap(range(1, plan.contacts + 1))
