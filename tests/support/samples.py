"""Values that several tests start from."""

from typing import Any

import msgspec

from jobs.schedules.view import ScheduleView
from jobs.view.job import Job
from jobs.view.portal import PortalView
from jobs.webhooks.view import WebhookView
from jobs.words.filters import Filter
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
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


#: A schedule that has never started.
SCHEDULE_VIEW = ScheduleView(
    name="nightly",
    portal="main",
    enabled=True,
    filter=Filter(tags=("trash",)),
    selects="contacts tagged trash",
    cron="30 2 * * *",
    timezone="UTC",
    label="",
    priority=Priority.NORMAL,
    max_contacts=0,
    max_share=0.0,
    next_at="2026-11-24T02:30:00.000Z",
    started_at=None,
    skipped=0,
    skipped_at=None,
    waits_for=None,
    explanation=None,
    jobs=(),
)

#: A webhook to which nothing has been sent.
WEBHOOK_VIEW = WebhookView(
    name="chat",
    host="hooks.example.com",
    events=None,
    portals=None,
    waiting=0,
    oldest_waiting_at=None,
    oldest_waiting_s=0.0,
    delivered=0,
    failed=0,
    given_up=0,
    last_delivered_at=None,
    deliveries=(),
)


def a_job(**facts: Any) -> Job:
    """Make a job of five contacts that is waiting for its turn, except for the given facts."""
    usual: dict[str, Any] = {
        "id": "JOB-1", "portal": "main", "label": "", "state": State.QUEUED, "state_reason": None, "waits_until": None,
        "created_at": "2026-11-23T12:00:00Z", "started_at": None, "finished_at": None, "total": 5, "duplicates": 0,
        "counts": dict.fromkeys(Outcome, 0), "progress": 0.0, "contacts_per_second": 0.0, "eta_s": None,
        "requests": {"sent": 0, "retried": 0, "throttled": 0}, "last_error": None, "requests_per_second": None,
        "batch_size": None, "priority": "normal", "schedule": None, "canary": None, "selection": {"kind": "list"},
        "planning": None, "plan": None, "bundle": None, "actions": [], "trace_id": None,
    }  # fmt: skip
    return msgspec.convert(usual | facts, Job)
