"""When faults strike."""

from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import msgspec
import pytest

from simulator import Fault
from simulator.faults import Faults, retry_after


def strikes(fault: Fault, calls: int, kind: str = "delete") -> list[int]:
    faults = Faults([fault], seed=3)
    return [number for number in range(1, calls + 1) if faults.draw(kind)]


def test_without_a_condition_every_matching_call_is_struck() -> None:
    assert strikes(Fault(fault="hang"), 3) == [1, 2, 3]
    assert strikes(Fault(fault="hang"), 3, kind="look_up") == []
    assert strikes(Fault(fault="hang", calls=["*"]), 3, kind="look_up") == [1, 2, 3]


def test_the_next_calls_only() -> None:
    assert strikes(Fault(fault="hang", next_calls=2), 5) == [1, 2]


def test_certain_call_numbers_only() -> None:
    assert strikes(Fault(fault="hang", call_numbers=[2, 4]), 5) == [2, 4]


def test_a_rate_strikes_about_that_part_of_the_calls() -> None:
    assert 230 < len(strikes(Fault(fault="hang", rate=0.25), 1000)) < 270
    assert strikes(Fault(fault="hang", rate=0.0), 100) == []
    assert len(strikes(Fault(fault="hang", rate=1.0), 100)) == 100


def test_the_same_seed_strikes_the_same_calls() -> None:
    assert strikes(Fault(fault="hang", rate=0.5), 50) == strikes(Fault(fault="hang", rate=0.5), 50)


def test_all_conditions_must_hold() -> None:
    assert strikes(Fault(fault="hang", call_numbers=[2, 3, 4], next_calls=2), 5) == [2, 3]


def test_the_first_rule_that_strikes_wins_and_all_count() -> None:
    first, second = Fault(fault="hang", call_numbers=[2]), Fault(fault="reset")
    faults = Faults([first, second])
    drawn = [faults.draw("delete") for _ in range(3)]
    assert [fault.fault if fault else None for fault in drawn] == ["reset", "hang", "reset"]
    assert (first.seen, first.struck, second.seen, second.struck) == (3, 1, 3, 2)


@pytest.mark.parametrize(
    ("fault", "before"),
    [
        (Fault(fault="throttle", when="after"), True),
        (Fault(fault="deadlock", when="after"), True),
        (Fault(fault="error"), True),
        (Fault(fault="error", when="after"), False),
        (Fault(fault="cut"), False),
        (Fault(fault="replay"), False),
    ],
)
def test_before_or_after_the_commit(fault: Fault, before: bool) -> None:
    assert fault.before is before


@pytest.mark.parametrize("wrong", [b'{"fault":"flood"}', b'{"fault":"hang","rate":2}', b'{"fault":"hang","often":1}'])
def test_a_wrong_rule_is_refused(wrong: bytes) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(wrong, type=Fault)


def test_retry_after_forms() -> None:
    assert retry_after(None) == {}
    assert retry_after(2) == {"Retry-After": "2"}
    assert retry_after(0.2) == {"Retry-After": "1"}
    moment = parsedate_to_datetime(retry_after(3600, "date")["Retry-After"])
    assert 3500 < (moment - datetime.now(UTC)).total_seconds() <= 3600
