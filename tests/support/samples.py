"""Values that several tests start from."""

from typing import Any

import msgspec

from jobs.view.job import Job
from jobs.view.portal import PortalView
from jobs.words.outcomes import Outcome
from jobs.words.states import State

#: A portal that no worker has driven yet.
PORTAL_VIEW = PortalView(
    name="main",
    requests_per_second=5.0,
    configured_requests_per_second=5.0,
    learned_requests_per_second=5.0,
    max_concurrency=1,
    configured_max_concurrency=1,
    batch_size=50,
    push_back_until=None,
    rest_asked_until=None,
    push_back_reason=None,
    fault=None,
    stopped=None,
    held_by=None,
    held_until=None,
    open_until=None,
    sent_today=0,
    max_contacts_per_day=0,
    in_flight=0,
    lanes=0,
    active_jobs=0,
    last_answers=(),
    actions=(),
)


def a_job(**facts: Any) -> Job:
    """Make a job of five contacts that is waiting for its turn, except for the given facts."""
    usual: dict[str, Any] = {
        "id": "JOB-1", "portal": "main", "label": "", "state": State.QUEUED, "state_reason": None, "waits_until": None,
        "created_at": "2026-11-23T12:00:00Z", "started_at": None, "finished_at": None, "total": 5, "duplicates": 0,
        "counts": dict.fromkeys(Outcome, 0), "progress": 0.0, "contacts_per_second": 0.0, "eta_s": None,
        "requests": {"sent": 0, "retried": 0, "throttled": 0}, "last_error": None, "requests_per_second": None,
        "batch_size": None, "priority": "normal", "canary": None, "selection": {"kind": "list"}, "planning": None,
        "plan": None, "bundle": None, "actions": [],
    }  # fmt: skip
    return msgspec.convert(usual | facts, Job)
