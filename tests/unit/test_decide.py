"""What follows from an answer: an example of each rule, and the laws that hold for any batch and any answer."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from pydantic import SecretStr

from config.settings import Portal
from jobs.lanes.grants import Batch
from jobs.lanes.settlement import Settlement
from jobs.ledger.items import Call, Item
from jobs.words.outcomes import Code, Outcome
from jobs.words.reasons import NEEDS_A_PERSON, StateReason
from jobs.words.states import State
from tests.support.strategies import scattered
from worker.decide import Decider
from worker.failure_table import STATUS_TABLE, Flaw
from worker.failures import decide_flaw
from worker.portal_answers import Deleted, Failure, LookedUp, Remedy, Visible
from worker.portal_client import NOT_SENT
from worker.push_back import PushBack, Relief

AT_MS = 1_764_000_000_000
MAX_ATTEMPTS = 4
#: Position p holds contact ID p + FIRST.
FIRST = 100_000


def decider(uniform: Any = lambda low, high: high, **limits: Any) -> Decider:
    usual: dict[str, Any] = {"max_attempts": MAX_ATTEMPTS, "backoff_base_s": 1.0, "backoff_max_s": 6.0}
    return Decider(Portal(name="main", url="http://127.0.0.1", token=SecretStr("t"), **(usual | limits)), uniform)


def item(call: Call = Call.PUT, positions: Sequence[int] = range(10), **facts: Any) -> Item:
    return Item(call=call, segment=3, positions=positions, **facts)


def batch(*items: Item, state: State = State.RUNNING) -> Batch:
    return Batch(
        seq=1,
        job_id="j",
        state=state,
        now_ms=0,
        call=items[0].call,
        batch_size=50,
        items=items,
        received_s=0.0,
        place=0,
    )


def ids_of(held: Batch) -> list[list[int]]:
    return [[FIRST + position for position in item.positions] for item in held.items]


def settle(held: Batch, answer: Deleted | LookedUp | Failure, deciding: Decider | None = None) -> Settlement:
    return (deciding or decider()).settle(held, ids_of(held), answer, AT_MS)


def failure(action: Remedy = Remedy.RETRY, **facts: Any) -> Failure:
    usual: dict[str, Any] = {
        "action": action,
        "may_have_deleted": False,
        "reason": StateReason.PORTAL_PROTOCOL if action is Remedy.STOP else "portal_error",
        "http_status": 500,
        "message": "staged",
    }
    return Failure(**(usual | facts))


def codes(settlement: Settlement) -> dict[int, Code]:
    return {
        position: Code(code)
        for _, record in settlement.records
        for position, code in zip(record.positions, record.codes, strict=True)
    }


def deleted(*contact_ids: int, doubtful: bool = False) -> Deleted:
    return Deleted(frozenset(contact_ids), unlisted_doubtful=doubtful, http_status=200)


# The answer to a PUT


def test_all_listed_is_one_record_of_deleted() -> None:
    settlement = settle(batch(item(attempts=2)), deleted(*range(FIRST, FIRST + 10)))
    [(segment, record)] = settlement.records
    assert (segment, record.attempts, record.http_status, record.at_ms) == (3, 3, 200, AT_MS)
    assert codes(settlement) == dict.fromkeys(range(10), Code.DELETED)
    assert (settlement.items, settlement.sent, settlement.retried, settlement.calm) == ([], 1, 1, True)


@pytest.mark.parametrize("unlisted_doubtful", [False, True])
@pytest.mark.parametrize("doubtful", [False, True])
def test_what_a_valid_answer_leaves_out_is_looked_up_at_once(unlisted_doubtful: bool, doubtful: bool) -> None:
    settlement = settle(batch(item(doubtful=doubtful)), deleted(FIRST, FIRST + 4, doubtful=unlisted_doubtful))
    assert codes(settlement) == {0: Code.DELETED, 4: Code.DELETED}
    [(left, delay_s)] = settlement.items
    assert (left.call, list(left.positions), delay_s) == (Call.LOOK_UP, [1, 2, 3, 5, 6, 7, 8, 9], 0)
    assert (left.doubtful, left.attempts, left.http_status) == (doubtful or unlisted_doubtful, 1, 200)


def test_a_contact_that_the_portal_never_deletes_is_given_up_as_that() -> None:
    held, deciding, settlement = item(positions=[7]), decider(), Settlement()
    for _ in range(MAX_ATTEMPTS):
        [(look_up, _)] = settle(batch(held), deleted(), deciding).items
        seen = LookedUp({FIRST + 7: Visible.DELETABLE}, [FIRST + 7], 200)
        settlement = settle(batch(look_up), seen, deciding)
        held = settlement.items[0][0] if settlement.items else held
    assert codes(settlement) == {7: Code.NOT_DELETED}
    assert settlement.records[0][1].attempts == MAX_ATTEMPTS


# A PUT that failed


@pytest.mark.parametrize("action", list(Remedy))
def test_whatever_may_have_deleted_is_looked_up_in_doubt(action: Remedy) -> None:
    trouble = failure(action, may_have_deleted=True, settle_s=7.0, http_status=504)
    settlement = settle(batch(item(attempts=1, failures=2)), trouble)
    [(held, delay_s)] = settlement.items
    assert (held.call, held.doubtful, held.attempts, held.failures) == (Call.LOOK_UP, True, 2, 2)
    assert (held.http_status, held.reason, delay_s) == (504, Code.PORTAL_ERROR, 7.0)
    assert not settlement.records
    assert settlement.stop == (StateReason.PORTAL_PROTOCOL if action is Remedy.STOP else None)


def test_being_throttled_costs_no_attempt() -> None:
    before = item(attempts=1, failures=2, http_status=200, reason=Code.TIMEOUT)
    settlement = settle(batch(before), failure(Remedy.SLOW_DOWN, reason="rate_limit", http_status=429))
    assert settlement.items == [(before, 0.0)]
    assert (settlement.sent, settlement.throttled) == (1, 1)


def test_not_getting_through_is_no_attempt_and_no_call() -> None:
    before = item(attempts=1, failures=2, http_status=200)
    settlement = settle(batch(before), failure(reason="portal_unreachable", http_status=None, sent=False))
    assert settlement.items == [(before, 0.0)]
    assert (settlement.sent, settlement.retried, settlement.throttled) == (0, 0, 0)


@pytest.mark.parametrize("call", list(Call))
def test_a_call_that_was_never_made_leaves_everything_as_it_was(call: Call) -> None:
    before = item(call, attempts=1, failures=2)
    settlement = settle(batch(before), NOT_SENT)
    assert settlement.items == [(before, 0.0)]
    assert (settlement.records, settlement.sent, settlement.retried, settlement.stop) == ([], 0, 0, None)
    assert PushBack(1.0, 5.0).after(NOT_SENT, 0.0) == Relief()


def test_a_stop_keeps_the_batch_for_later_and_names_the_reason() -> None:
    settlement = settle(batch(item()), failure(Remedy.STOP, reason="portal_auth", http_status=401))
    [(held, delay_s)] = settlement.items
    assert (held.call, held.doubtful, list(held.positions), delay_s) == (Call.PUT, False, list(range(10)), 0)
    assert (settlement.stop, settlement.last_error) == ("portal_auth", "staged")


def test_a_split_halves_and_a_single_one_is_given_up() -> None:
    trouble = failure(Remedy.SPLIT, reason="rejected", http_status=400)
    settlement = settle(batch(item(positions=range(5))), trouble)
    assert [list(half.positions) for half, _ in settlement.items] == [[0, 1], [2, 3, 4]]
    settlement = settle(batch(item(positions=[8])), trouble)
    assert codes(settlement) == {8: Code.REJECTED}
    assert settlement.records[0][1].http_status == 400


def test_giving_up_records_the_reason_at_once() -> None:
    settlement = settle(batch(item()), failure(Remedy.GIVE_UP, reason="rejected"))
    assert codes(settlement) == dict.fromkeys(range(10), Code.REJECTED)


def test_retries_wait_longer_and_longer_up_to_the_bound() -> None:
    held, waits = item(), []
    for _ in range(7):
        [(held, wait_s)] = settle(batch(held), failure(), decider(max_attempts=20)).items
        waits.append(wait_s)
    assert waits == [1, 2, 4, 6, 6, 6, 6]


@given(st.integers(0, 19), st.floats(0, 1), st.floats(0.01, 60), st.floats(1, 60))
def test_backoff_is_between_nothing_and_the_bound(failures: int, share: float, base_s: float, factor: float) -> None:
    deciding = decider(
        lambda low, high: low + share * (high - low),
        max_attempts=20,
        backoff_base_s=base_s,
        backoff_max_s=base_s * factor,
    )
    for _, wait_s in settle(batch(item(failures=failures)), failure(), deciding).items:
        assert 0 <= wait_s <= min(base_s * factor, base_s * 2**failures)


def test_after_enough_failures_the_halves_get_one_more_try_each() -> None:
    settlement = settle(batch(item(failures=MAX_ATTEMPTS - 1)), failure())
    assert [(list(half.positions), half.failures) for half, _ in settlement.items] == [
        ([0, 1, 2, 3, 4], MAX_ATTEMPTS - 1),
        ([5, 6, 7, 8, 9], MAX_ATTEMPTS - 1),
    ]
    settlement = settle(batch(item(positions=[4], failures=MAX_ATTEMPTS - 1)), failure())
    assert codes(settlement) == {4: Code.PORTAL_ERROR}


@pytest.mark.parametrize("sent", [False, True])
@pytest.mark.parametrize("call", list(Call))
def test_a_wait_of_our_own_costs_no_attempt_and_is_no_throttling(call: Call, sent: bool) -> None:
    before = item(call, attempts=2, http_status=504, reason=Code.TIMEOUT)
    settlement = settle(batch(before), failure(Remedy.WAIT, reason="login_guard", http_status=401, sent=sent))
    assert settlement.items == [(before, 0.0)]
    assert (settlement.sent, settlement.retried, settlement.throttled) == (int(sent), int(sent and call is Call.PUT), 0)
    assert settlement.stop is None


def test_only_what_no_configuration_can_fix_stops_all_workers() -> None:
    alone, everyone = (
        settle(batch(item()), failure(Remedy.STOP, reason="portal_protocol", everyone=everyone))
        for everyone in (False, True)
    )
    assert (alone.stop, alone.everyone) == ("portal_protocol", False)
    assert (everyone.stop, everyone.everyone) == ("portal_protocol", True)
    assert decide_flaw(Flaw.FOREIGN_ID).everyone
    assert not any(rule.decision.everyone for rule in STATUS_TABLE)


def test_a_failed_look_up_is_no_attempt() -> None:
    before = item(Call.LOOK_UP, attempts=2, http_status=504, reason=Code.TIMEOUT, doubtful=True)
    [(held, _)] = settle(batch(before), failure(http_status=500)).items
    assert held == replace(before, failures=1)


def test_a_look_up_that_cannot_succeed_gives_up_with_the_word_of_the_put() -> None:
    before = item(Call.LOOK_UP, positions=[1], attempts=2, reason=Code.TIMEOUT, failures=MAX_ATTEMPTS - 1)
    assert codes(settle(batch(before), failure(http_status=500))) == {1: Code.TIMEOUT}


# The answer to a look-up


@pytest.mark.parametrize("doubtful", [False, True])
def test_a_look_up_decides_by_what_is_visible(doubtful: bool) -> None:
    held = item(
        Call.LOOK_UP, positions=[1, 3, 5, 7, 9], doubtful=doubtful, seen_refused=doubtful, attempts=1, http_status=200
    )
    visible = {
        FIRST + 3: Visible.READ_ONLY,
        FIRST + 5: Visible.HAS_INVOICE,
        FIRST + 7: Visible.DELETABLE,
    }
    settlement = settle(batch(held), LookedUp(visible, [FIRST + position for position in (1, 3, 5, 7)], 200))
    gone = Code.PRESUMED_DELETED if doubtful else Code.NOT_FOUND
    assert codes(settlement) == {1: gone, 3: Code.READ_ONLY, 5: Code.HAS_INVOICE}
    again = {tuple(left.positions): (left.call, left.failures, left.doubtful) for left, _ in settlement.items}
    assert again == {(9,): (Call.LOOK_UP, 0, doubtful), (7,): (Call.PUT, 1, doubtful)}


def test_a_doubtful_contact_is_refused_only_when_two_look_ups_in_a_row_say_so() -> None:
    """While a deletion is finishing, the portal still shows its contacts, but no longer any rights to them."""
    held = item(Call.LOOK_UP, positions=[1, 3, 5], doubtful=True, attempts=1)
    visible = {FIRST + 1: Visible.READ_ONLY, FIRST + 3: Visible.HAS_INVOICE, FIRST + 5: Visible.DELETABLE}
    settlement = settle(batch(held), LookedUp(visible, [FIRST + 1, FIRST + 3, FIRST + 5], 200))
    assert not settlement.records
    (unsure, delay_s), (again, _) = settlement.items
    assert (unsure, delay_s) == (replace(held, positions=[1, 3], seen_refused=True), 0.0)
    assert (again.call, again.positions, again.seen_refused) == (Call.PUT, [5], False)
    second = settle(batch(unsure), LookedUp({FIRST + 3: Visible.HAS_INVOICE}, [FIRST + 1, FIRST + 3], 200))
    assert codes(second) == {1: Code.PRESUMED_DELETED, 3: Code.HAS_INVOICE}


def test_what_was_seen_refused_before_and_is_sent_again_has_to_be_seen_again() -> None:
    held = item(Call.LOOK_UP, positions=[1], doubtful=True, seen_refused=True, attempts=1)
    [(again, _)] = settle(batch(held), LookedUp({FIRST + 1: Visible.DELETABLE}, [FIRST + 1], 200)).items
    assert (again.call, again.doubtful, again.seen_refused) == (Call.PUT, True, False)


def test_look_ups_that_were_joined_are_told_apart_again() -> None:
    sure = item(Call.LOOK_UP, positions=[1], attempts=1)
    doubtful = item(Call.LOOK_UP, positions=[2], attempts=4, doubtful=True)
    settlement = settle(batch(sure, doubtful), LookedUp({}, [FIRST + 1, FIRST + 2], 200))
    assert codes(settlement) == {1: Code.NOT_FOUND, 2: Code.PRESUMED_DELETED}
    assert [record.attempts for _, record in settlement.records] == [1, 4]


# A job that is being cancelled


def test_a_cancelled_job_sends_nothing_more() -> None:
    held = item(Call.LOOK_UP, positions=[1], doubtful=True, attempts=1, reason=Code.TIMEOUT)
    there = LookedUp({FIRST + 1: Visible.DELETABLE}, [FIRST + 1], 200)
    assert codes(settle(batch(held, state=State.CANCELLING), there)) == {1: Code.TIMEOUT}


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({}, Code.SKIPPED),
        ({"attempts": 1, "reason": Code.REJECTED}, Code.REJECTED),
        ({"attempts": 1, "doubtful": True}, None),
    ],
)
def test_a_put_of_a_cancelled_job_is_dropped_for_what_it_was(facts: dict[str, Any], code: Code | None) -> None:
    settlement = decider().drop(batch(item(positions=[5], **facts), state=State.CANCELLING), AT_MS)
    if code is None:
        [(held, _)] = settlement.items
        assert (held.call, held.doubtful) == (Call.LOOK_UP, True)
    else:
        assert codes(settlement) == {5: code}
    assert settlement.sent == 0


# Laws

histories: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries(
    {
        "doubtful": st.booleans(),
        "attempts": st.integers(0, 300),
        "failures": st.integers(0, MAX_ATTEMPTS),
        "http_status": st.sampled_from([0, 200, 500]),
        "reason": st.sampled_from([code for code in Code if code.outcome is Outcome.FAILED]),
    }
)
_FACTS: dict[str, Any] = {
    "may_have_deleted": st.booleans(),
    "http_status": st.sampled_from([None, 400, 429, 500, 503]),
    "message": st.just("staged"),
    "settle_s": st.floats(0, 60),
    "sent": st.booleans(),
}
failures = st.one_of(
    st.builds(
        Failure,
        action=st.sampled_from(sorted(set(Remedy) - {Remedy.STOP})),
        reason=st.sampled_from(["rejected", "timeout", "portal_error", "connection_lost", "push_back"]),
        **_FACTS,
    ),
    st.builds(Failure, action=st.just(Remedy.STOP), reason=st.sampled_from(sorted(NEEDS_A_PERSON)), **_FACTS),
)


@st.composite
def rounds(draw: st.DrawFn) -> tuple[Batch, Deleted | LookedUp | Failure]:
    """Draw a batch and any answer to it."""
    call = draw(st.sampled_from(Call))
    places = draw(scattered(30))
    cut = draw(st.integers(1, len(places))) if call is Call.LOOK_UP else len(places)
    parts = [part for part in (places[:cut], places[cut:]) if part]
    items = [Item(call=call, segment=n, positions=part, **draw(histories)) for n, part in enumerate(parts)]
    held = batch(*items, state=draw(st.sampled_from([State.RUNNING, State.CANCELLING])))
    ids = [FIRST + position for position in places]
    some = st.sets(st.sampled_from(ids))
    answers: st.SearchStrategy[Any]
    if call is Call.PUT:
        answers = st.builds(Deleted, some.map(frozenset), unlisted_doubtful=st.booleans(), http_status=st.just(200))
    else:
        asked = ids[: draw(st.integers(1, len(ids)))]
        visible = st.dictionaries(st.sampled_from(asked), st.sampled_from(Visible))
        answers = st.builds(LookedUp, visible, st.just(asked), st.just(200))
    return held, draw(st.one_of(answers, failures))


def history_by_place(items: Sequence[Item]) -> dict[tuple[int, int], Item]:
    return {(item.segment, position): item for item in items for position in item.positions}


@given(rounds())
@settings(max_examples=400)
def test_for_any_batch_and_any_answer(round_: tuple[Batch, Deleted | LookedUp | Failure]) -> None:
    held, answer = round_
    settlement = settle(held, answer)
    before = history_by_place(held.items)
    items = [item for item, _ in settlement.items]

    # Every position ends in exactly one record or one item.
    places = Counter((segment, position) for segment, record in settlement.records for position in record.positions)
    places.update((item.segment, position) for item in items for position in item.positions)
    assert places == Counter(before.keys())

    # Attempts never go down, rise by one at most, and only by a PUT that was sent.
    after = {place: item.attempts for place, item in history_by_place(items).items()}
    for segment, record in settlement.records:
        after |= {(segment, position): record.attempts for position in record.positions}
    tried = held.call is Call.PUT and (not isinstance(answer, Failure) or answer.may_have_deleted or answer.sent)
    for place, attempts in after.items():
        assert before[place].attempts <= attempts <= before[place].attempts + int(tried)

    # Doubt is never lost: what was in doubt stays in doubt, or is decided in a way that says so.
    for place, item in history_by_place(items).items():
        assert item.doubtful or not before[place].doubtful
        if isinstance(answer, Failure) and answer.may_have_deleted and held.call is Call.PUT:
            assert item.doubtful
    decided = {
        (segment, position): Code(code)
        for segment, record in settlement.records
        for position, code in zip(record.positions, record.codes, strict=True)
    }
    for (segment, position), code in decided.items():
        doubtful = before[segment, position].doubtful
        assert not (code is Code.NOT_FOUND and doubtful)
        assert code is not Code.PRESUMED_DELETED or doubtful
        # Deleted only by the portal's word.
        listed = isinstance(answer, Deleted) and FIRST + position in answer.listed
        assert (code is Code.DELETED) == listed

    # Nothing is sent again while it may still be deleted, or after a cancel; every record and item can be kept.
    for item, delay_s in settlement.items:
        assert delay_s >= 0
        Item.decode(item.encode())
    for _, record in settlement.records:
        assert len(record.positions) == len(record.codes)
        record.encode()


@given(rounds())
def test_dropping_keeps_every_position_and_sends_nothing(round_: tuple[Batch, Deleted | LookedUp | Failure]) -> None:
    held = round_[0]
    if held.call is Call.PUT:
        settlement = decider().drop(held, AT_MS)
        places = Counter(position for _, record in settlement.records for position in record.positions)
        places.update(position for item, _ in settlement.items for position in item.positions)
        assert places == Counter(position for item in held.items for position in item.positions)
        assert all(item.call is Call.LOOK_UP for item, _ in settlement.items)
        assert Code.NOT_FOUND not in codes(settlement).values()


def work_off(size: int, bad: set[int], action: Remedy) -> tuple[int, dict[int, Code]]:
    """Send until everything is decided, each batch with a bad contact failing as a whole; also count the calls."""
    todo, calls, found = [item(positions=range(size))], 0, dict[int, Code]()
    while todo:
        held = todo.pop()
        calls += 1
        if bad.isdisjoint(held.positions):
            settlement = settle(batch(held), deleted(*(FIRST + position for position in held.positions)))
        else:
            settlement = settle(batch(held), failure(action, reason="rejected", http_status=400))
        assert settlement.stop is None
        found |= codes(settlement)
        todo += [left for left, _ in settlement.items]
    return calls, found


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), max_size=8))))
@settings(max_examples=60, deadline=None)
def test_splits_find_the_bad_ones_with_few_calls(size_and_bad: tuple[int, set[int]]) -> None:
    size, bad = size_and_bad
    for action, extra in [(Remedy.SPLIT, 0), (Remedy.RETRY, MAX_ATTEMPTS - 1)]:
        calls, found = work_off(size, bad, action)
        assert found == {position: Code.REJECTED if position in bad else Code.DELETED for position in range(size)}
        if bad:
            # Every bad contact costs two calls per level, less what the top levels have in common.
            levels = math.ceil(math.log2(size / len(bad))) + 1
            assert calls <= 2 * len(bad) * levels + 2 * len(bad) + 1 + extra
        else:
            assert calls == 1
