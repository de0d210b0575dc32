"""The state of a portal is read from the replies of Redis, and shows what follows from it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from jobs.store.clock import Clocks
from jobs.store.portal_state import Hold, PortalState, Rest

NOW_MS = 1_000_000
FIRST = NOW_MS + 1


def state_of(
    *,
    leases: dict[bytes, float] | None = None,
    active: int = 0,
    faults: dict[bytes, bytes] | None = None,
    stop: bytes | None = None,
    **facts: object,
) -> PortalState:
    """Read a state from replies to the same commands that ask for it."""
    pipe = Redis().pipeline(transaction=False)
    PortalState.ask(pipe, "main", with_actions=True)
    commands = [command for command, _ in pipe.command_stack]
    _, _, *fields = commands[0]
    assert facts.keys() <= set(fields)
    values = [str(facts[name]).encode() if name in facts else None for name in fields]
    replies = iter([values, list((leases or {}).items()), active, faults or {}, [], [stop, None], "of another command"])
    state = PortalState.take(replies, Clocks.together(NOW_MS))
    assert next(replies) == "of another command"
    assert len(commands) == 6
    return state


def test_a_portal_that_was_never_called_is_as_configured() -> None:
    state = state_of()
    assert state == PortalState(now_ms=NOW_MS)
    assert (state.pace, state.rest, state.fault) == (None, None, None)
    assert (state.ceiling(5.0), state.learned_rate(5.0), state.concurrency(3), state.batch_size(50, 200)) == (
        5,
        5,
        3,
        50,
    )


@pytest.mark.parametrize(
    ("kept", "hold"),
    [
        ("", None),
        (f"outside_window {FIRST}", Hold("outside_window", FIRST)),
        (f"daily_cap {NOW_MS}", None),
        ("outside_window 0", Hold("outside_window", None)),
        ("stopped 0", None),
    ],
)
def test_a_gate_holds_until_it_opens(kept: str, hold: Hold | None) -> None:
    assert state_of(hold=kept).hold == hold


def test_a_stop_holds_whatever_else_does() -> None:
    assert state_of(stop=b"{}", hold=f"outside_window {FIRST}").hold == Hold("stopped")


@pytest.mark.parametrize(("kept", "until"), [(NOW_MS, None), (FIRST, FIRST)])
def test_a_portal_that_was_opened_once_is_open_until_then(kept: int, until: int | None) -> None:
    assert state_of(open_until_ms=kept).open_until_ms == until


@pytest.mark.parametrize(
    ("facts", "rest"),
    [
        ({"push_back_until_ms": NOW_MS}, None),
        ({"push_back_until_ms": NOW_MS - 1, "push_back_reason": "rate_limit"}, None),
        ({"push_back_until_ms": FIRST}, Rest(FIRST, "push_back", None)),
        ({"push_back_until_ms": f"{FIRST}.7", "push_back_reason": "login_guard"}, Rest(FIRST, "login_guard", None)),
        ({"push_back_until_ms": FIRST, "asked_until_ms": FIRST + 1}, Rest(FIRST, "push_back", FIRST + 1)),
        ({"push_back_until_ms": FIRST, "asked_until_ms": FIRST}, Rest(FIRST, "push_back", None)),
        ({"asked_until_ms": FIRST}, None),
    ],
)
def test_a_rest_lasts_until_its_end_and_tells_what_was_asked_for_only_where_that_is_longer(
    facts: dict[str, Any], rest: Rest | None
) -> None:
    assert state_of(**facts).rest == rest


def test_limits_that_were_set_hold_in_place_of_the_configured_ones() -> None:
    state = state_of(set_rate=7.5, set_concurrency=4, batch_size=80)
    assert (state.ceiling(5.0), state.learned_rate(5.0), state.concurrency(1)) == (7.5, 7.5, 4)
    assert (state.batch_size(50, 200), state.batch_size(50, 60)) == (80, 60)


def test_a_lease_that_has_lapsed_is_no_lane() -> None:
    assert state_of(leases={b"one": FIRST, b"two": NOW_MS, b"three": NOW_MS - 1}, active=2).lanes == 1


def test_a_fault_that_nobody_can_pass_holds_it() -> None:
    fault = state_of(faults={b"*": f"{FIRST} portal_auth wrong".encode()}).fault
    assert fault is not None
    assert (fault.reason, fault.message, fault.until_ms) == ("portal_auth", "wrong", FIRST)


@pytest.mark.parametrize("ceiling", [0.3333, 33.33333, 0.0126])
def test_a_ceiling_is_never_rounded_so_that_it_does_not_look_learned(ceiling: float) -> None:
    assert state_of(rate=ceiling, set_rate=ceiling).learned_rate(5.0) == ceiling
    assert state_of(rate=ceiling, rate_best=ceiling).learned_rate(ceiling) == ceiling


RATES = st.floats(0.01, 1000)


@given(rate=RATES, configured=RATES, set_rate=st.none() | RATES, learned=st.booleans())
def test_the_rate_is_never_above_the_ceiling_and_the_pace_of_a_job_is_the_same(
    rate: float, configured: float, set_rate: float | None, learned: bool
) -> None:
    state = PortalState(now_ms=NOW_MS, rate=rate, configured_rate=configured, set_rate=set_rate, has_learned=learned)
    assert 0 < state.learned_rate(configured) <= state.ceiling(configured)
    assert state.pace == state.learned_rate(configured)
    if not learned:
        assert state.pace == state.ceiling(configured)


def test_the_pace_is_known_of_a_hash_that_an_older_release_wrote() -> None:
    assert state_of(rate=2.5).pace == 2.5
    assert state_of(rate=2.5, set_rate=4.0).pace == 4
