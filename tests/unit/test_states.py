"""The table of moves: every pair in it, every pair that is not, and the same table in Lua."""

import re
from itertools import product

import pytest

from jobs.words.errors import IllegalMove
from jobs.words.states import MOVES, STOPPING, TERMINAL, Event, State, allowed_events, lua_table, move

#: Written out again by hand, so that a slip in the table shows.
EXPECTED = {
    "planning": {
        "planned": "awaiting_approval",
        "nothing_selected": "completed",
        "cannot_plan": "failed",
        "cancel": "cancelling",
    },
    "awaiting_approval": {"approve": "queued", "cancel": "cancelling"},
    "queued": {"start": "running", "pause": "pausing", "cancel": "cancelling", "finish": "completed"},
    "running": {"start": "running", "pause": "pausing", "cancel": "cancelling", "finish": "completed"},
    "pausing": {
        "pause": "pausing",
        "resume": "running",
        "cancel": "cancelling",
        "drained": "paused",
        "finish": "completed",
    },
    "paused": {"resume": "queued", "cancel": "cancelling"},
    "completed": {"retry_failed": "queued"},
    "cancelling": {"start": "cancelling", "cancel": "cancelling", "finish": "cancelled"},
}


@pytest.mark.parametrize(("state", "event"), list(product(State, Event)))
def test_every_pair_moves_as_expected_or_not_at_all(state: State, event: Event) -> None:
    expected = EXPECTED.get(state.value, {}).get(event.value)
    if expected is None:
        with pytest.raises(IllegalMove) as refused:
            move(state, event)
        assert (refused.value.state, refused.value.event) == (state, event)
        assert f"{event.replace('_', '-')} is not possible while the job is {state}" in str(refused.value)
    else:
        assert move(state, event) == expected


def test_the_table_in_lua_is_the_same() -> None:
    rows = re.findall(r"\['(\w+)/(\w+)'\] = '(\w+)'", lua_table())
    assert {(State(state), Event(event)): State(to) for state, event, to in rows} == MOVES
    assert len(rows) == len(MOVES)


def test_only_a_retry_leaves_a_terminal_state_and_everything_else_can_end() -> None:
    for state in TERMINAL:
        assert set(allowed_events(state)) <= {Event.RETRY_FAILED}
        assert {event for event in Event if (state, event) in MOVES} <= {Event.RETRY_FAILED}
    reached = set(TERMINAL)
    while more := {state for (state, _), to in MOVES.items() if to in reached} - reached:
        reached |= more
    assert reached == set(State)


def test_a_wish_becomes_a_fact() -> None:
    assert {MOVES[State.PAUSING, Event.DRAINED], MOVES[State.CANCELLING, Event.FINISH]} == {
        State.PAUSED,
        State.CANCELLED,
    }
    assert {State.PAUSING, State.CANCELLING} == STOPPING


def test_a_refusal_names_what_is_possible() -> None:
    with pytest.raises(IllegalMove, match="possible now: resume, cancel"):
        move(State.PAUSED, Event.PAUSE)
    with pytest.raises(IllegalMove, match="nothing, it has ended"):
        move(State.CANCELLED, Event.CANCEL)
    with pytest.raises(IllegalMove, match="possible now: retry-failed"):
        move(State.COMPLETED, Event.CANCEL)
