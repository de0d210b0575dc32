"""Views of jobs whose recorded times make no sense, because the server's clock was set back and forth meanwhile."""

import math

from hypothesis import given
from hypothesis import strategies as st

from jobs.store.clock import Clocks
from jobs.store.portal_state import PortalState
from jobs.view.backlog import PortalBacklog
from jobs.view.job import _job
from jobs.view.look import Look
from jobs.words.states import State

TIMES = st.integers(1_700_000_000_000, 1_700_000_900_000)
SPANS = st.integers(0, 900_000)


@given(
    created=TIMES,
    started=st.none() | TIMES,
    finished=st.none() | TIMES,
    worked_until=st.none() | TIMES,
    now=TIMES,
    worked=SPANS,
    mark=SPANS,
    state=st.sampled_from([State.QUEUED, State.RUNNING, State.COMPLETED, State.CANCELLED]),
)
def test_paces_and_spans_are_never_negative(
    *,
    created: int,
    started: int | None,
    finished: int | None,
    worked_until: int | None,
    now: int,
    worked: int,
    mark: int,
    state: State,
) -> None:
    facts = {"state": state.value, "portal": "main", "label": "", "total": "100", "duplicates": "0", "inflight": "0"}
    facts |= {"created_ms": str(created), "n:pending": "40", "n:deleted": "60"}
    facts |= {"started_ms": str(started)} if started else {}
    facts |= {"finished_ms": str(finished)} if finished else {}
    if worked_until:
        facts |= {"worked_ms": str(worked), "worked_until_ms": str(worked_until)}
        facts |= {"old_mark_worked_ms": str(min(mark, worked)), "old_mark_done": "30"}
    portals = {"main": PortalState(now_ms=now, lanes=1)}
    looked = Look(Clocks.together(now), workers=1, served=frozenset(portals), replicated_ms=None, portals=portals)
    job = _job("id", facts, looked)
    assert 0 <= job.contacts_per_second < math.inf
    assert job.eta_s is None or 0 <= job.eta_s < math.inf

    backlog = PortalBacklog()
    backlog.add(facts, now)
    assert backlog.oldest_s >= 0
