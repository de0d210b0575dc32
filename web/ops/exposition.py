"""The metrics by name, and how one reading of Redis is written down as Prometheus reads it.

Every label value is a word of this program or a name from the configuration: never a job, a contact or a text
that came from outside.
"""

import platform
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from jobs.lanes.call_report import BUCKET_NAMES, CALLS, OK
from jobs.schedules.view import ScheduleView
from jobs.store.times import unix_s
from jobs.view.backlog import Backlog, PortalBacklog
from jobs.view.portal import PortalView
from jobs.webhooks.view import WebhookView
from jobs.words.outcomes import Code, Outcome
from jobs.words.reasons import PORTAL_FAULTS, StateReason
from jobs.words.states import TERMINAL, State
from web.ops.campaigns import campaigns
from web.ops.families import PREFIX, counter, gauge
from web.ops.schedules import schedules
from web.ops.webhooks import webhook_metrics

#: What a call can come to. All of them start at 0: a counter that appears with its first failure shows no
#: increase. Portals answer in ever new ways, so a word that is not here is shown as well.
RESULTS = (
    OK,
    *sorted(code.reason or "" for code in Code if code.outcome is Outcome.FAILED and code is not Code.NOT_DELETED),
    *sorted(PORTAL_FAULTS - {StateReason.PORTAL_UNREACHABLE}),  # a call that finds no connection is none
    StateReason.PUSH_BACK,
    StateReason.RATE_LIMIT,
)

_WORD = re.compile(r"[a-z_]{1,40}")

#: Metrics of the process that answers, from prometheus_client: crm_sweep_api_process_cpu_seconds_total, …
_PROCESS = "crm_sweep_api"

#: The rate achieved is taken over this time, or over the answers that Redis remembers where they came faster.
_ACHIEVED_OVER_S = 60.0
_REMEMBERED_ANSWERS = 20


@dataclass(frozen=True, slots=True)
class Reading:
    """What Redis says about the whole fleet at one moment.

    Attributes:
        backlog: jobs and workers.
        portals: the pacing of each configured portal.
        stats: the counters of each configured portal, by its name, as jobs/view/stats.py has them.
        schedules: the configured schedules.
        webhooks: what became of the events for each configured webhook.
        min_replicas: how many replicas must have a claim (`redis.min_replicas`).
        replicas: those that keep up; None if nobody asks, or the server does not tell.
    """

    backlog: Backlog
    portals: Sequence[PortalView]
    stats: Mapping[str, Mapping[str, int]]
    schedules: Sequence[ScheduleView] = ()
    webhooks: Sequence[WebhookView] = ()
    min_replicas: int = 0
    replicas: int | None = None


def render(reading: Reading | None) -> bytes:
    """Write the exposition.

    Args:
        reading: None while Redis is away; then there is nothing to say but that, and how this process does.
    """
    registry = CollectorRegistry()
    registry.register(_Collector(reading))
    ProcessCollector(namespace=_PROCESS, registry=registry)
    return generate_latest(registry)


class _Collector(Collector):
    def __init__(self, reading: Reading | None) -> None:
        self._reading = reading

    def collect(self) -> Iterator[Metric]:
        """Return every metric with its samples."""
        build = gauge("build_info", "What is running: always 1.", "version", "python_version")
        build.add_metric([version("crm-sweep"), platform.python_version()], 1)
        yield build
        redis_up = gauge(
            "redis_up", "Whether Redis answered within a second: 1 or 0. While it is 0, nothing else is known."
        )
        redis_up.add_metric([], self._reading is not None)
        yield redis_up
        if self._reading is not None:
            yield from _replicas(self._reading)
            yield from _fleet(self._reading.backlog)
            yield from _backlogs(self._reading)
            yield from campaigns({portal.name: _backlog_of(self._reading, portal) for portal in self._reading.portals})
            yield from _pacing(self._reading)
            yield from schedules(self._reading.schedules)
            yield from _counters(self._reading.stats)
            yield from webhook_metrics(self._reading.webhooks)


def _replicas(reading: Reading) -> Iterator[Metric]:
    if reading.replicas is None:
        return
    for name, text, value in (
        ("redis_replicas", "Replicas that keep up with the primary.", reading.replicas),
        (
            "redis_replicas_required",
            "How many of them must have a claim before its call leaves (redis.min_replicas).",
            reading.min_replicas,
        ),
    ):
        family = gauge(name, text)
        family.add_metric([], value)
        yield family


def _fleet(backlog: Backlog) -> Iterator[Metric]:
    for name, text, value in (
        ("workers", "Workers that have said within the last 15 s that they are alive.", backlog.workers),
        (
            "queue_depth",
            "Messages in arq's queue: wake-ups, those for later included, and requests of services.",
            backlog.queue,
        ),
        ("jobs_ended", "Jobs that have ended and are kept until their retention is over.", backlog.ended),
    ):
        family = gauge(name, text)
        family.add_metric([], value)
        yield family


def _backlogs(reading: Reading) -> Iterator[Metric]:
    jobs = gauge("jobs", "Jobs that have not ended, by state.", "portal", "state")
    pending = gauge("contacts_pending", "Contact IDs not decided yet, by the state of their job.", "portal", "state")
    oldest = gauge(
        "oldest_pending_age_seconds",
        "Seconds since the oldest job was accepted that is queued, running or cancelling; 0 without any.",
        "portal",
    )
    for portal in reading.portals:
        backlog = _backlog_of(reading, portal)
        for state in State:
            if state not in TERMINAL:
                jobs.add_metric([portal.name, state], backlog.jobs.get(state, 0))
                pending.add_metric([portal.name, state], backlog.pending.get(state, 0))
        oldest.add_metric([portal.name], backlog.oldest_s)
    yield from (jobs, pending, oldest)


def _backlog_of(reading: Reading, portal: PortalView) -> PortalBacklog:
    return reading.backlog.portals.get(portal.name, PortalBacklog())


def achieved(portal: PortalView, at_ms: int) -> float:
    """Return the calls per second that were answered lately.

    Args:
        portal: with its last answers, newest first.
        at_ms: now, on the Redis server's clock.
    """
    ages_s = [-_seconds_until(answer.at, at_ms) for answer in portal.last_answers]
    recent = [age_s for age_s in ages_s if age_s <= _ACHIEVED_OVER_S]
    if len(recent) < _REMEMBERED_ANSWERS:
        return len(recent) / _ACHIEVED_OVER_S
    # There may have been more of them than are remembered; those span the time since the oldest.
    return len(recent) / max(*recent, 0.001)


#: Gauges with one value per portal: name, help, value.
_PACING: tuple[tuple[str, str, Callable[[PortalView, int], float]], ...] = (
    (
        "configured_requests_per_second",
        "Ceiling of calls per second as configured.",
        lambda portal, _: portal.configured_requests_per_second,
    ),
    (
        "ceiling_requests_per_second",
        "Ceiling of calls per second in force: as configured, or as set by a user since.",
        lambda portal, _: portal.requests_per_second,
    ),
    (
        "learned_requests_per_second",
        "Calls per second that the portal is driven with: the ceiling, or less after it has pushed back.",
        lambda portal, _: portal.learned_requests_per_second,
    ),
    (
        "achieved_requests_per_second",
        "Calls per second that were answered: over the last 60 s, or over the last 20 calls where those took less.",
        achieved,
    ),
    ("max_concurrency", "Most calls in flight at a time, in force now.", lambda portal, _: portal.max_concurrency),
    ("calls_in_flight", "Calls that lanes have sent, or are about to send.", lambda portal, _: portal.in_flight),
    ("lanes", "Lanes that drive the portal.", lambda portal, _: portal.lanes),
    ("batch_size", "Contact IDs per PUT that the portal takes well.", lambda portal, _: portal.batch_size),
    (
        "push_back_seconds",
        "Seconds from now until the portal may be called again; 0 when it may be.",
        lambda portal, at_ms: _seconds_until(portal.push_back_until, at_ms),
    ),
    (
        "contacts_sent_today",
        "Contact IDs in the PUTs of this day, in the portal's time zone.",
        lambda portal, _: portal.sent_today,
    ),
    (
        "max_contacts_per_day",
        "Contact IDs that the PUTs of one day can hold; 0 for any number.",
        lambda portal, _: portal.max_contacts_per_day,
    ),
)


def _pacing(reading: Reading) -> Iterator[Metric]:
    for name, text, value in _PACING:
        family = gauge(name, text, "portal")
        for portal in reading.portals:
            family.add_metric([portal.name], value(portal, reading.backlog.at_ms))
        yield family
    faults = gauge(
        "portal_fault",
        "Whether the portal's jobs wait because of this: 1 or 0. A portal that is away is tried again; all else waits "
        "for a person.",
        "portal",
        "fault",
    )
    for portal in reading.portals:
        away = StateReason.PORTAL_UNREACHABLE if portal.push_back_reason == StateReason.PORTAL_UNREACHABLE else None
        for fault in sorted(PORTAL_FAULTS):
            faults.add_metric([portal.name, fault], fault in {portal.fault, away})
    yield faults
    holds = gauge(
        "portal_hold",
        "Whether this holds back all deletions of the portal: 1 or 0. A stop waits for a person; all else passes.",
        "portal",
        "gate",
    )
    for portal in reading.portals:
        for gate in (StateReason.STOPPED, StateReason.OUTSIDE_WINDOW, StateReason.DAILY_CAP):
            holds.add_metric([portal.name, gate], gate == portal.held_by)
    yield holds


def _counters(stats: Mapping[str, Mapping[str, int]]) -> Iterator[Metric]:
    contacts = counter("contacts", "Contact IDs that got this outcome.", "portal", "outcome")
    requests = counter("portal_requests", "Calls of the portal, by what they came to.", "portal", "call", "result")
    seconds = HistogramMetricFamily(
        PREFIX + "portal_request_seconds", "How long calls of the portal took.", labels=["portal", "call"]
    )
    for portal, counts in stats.items():
        for outcome in Outcome:
            if outcome is not Outcome.PENDING:
                contacts.add_metric([portal, outcome], counts.get(f"contacts:{outcome}", 0))
        for call in CALLS:
            for result, count in _results(counts, call).items():
                requests.add_metric([portal, call, result], count)
            seconds.add_metric([portal, call], _cumulative(counts, call), counts.get(f"ms_sum:{call}", 0) / 1000)
    yield from (contacts, requests, seconds)
    for name, counted, text in (
        ("retries", "retried", "PUTs that held contact IDs that an earlier PUT had held."),
        ("throttled", "throttled", "Calls that the portal turned away because it had too many."),
        ("push_backs", "push_backs", "Times that the portal asked to be left alone for a while."),
        ("rate_cuts", "rate_cuts", "Times that the learned rate was cut."),
        ("records_kept", "records_kept", "Records of contacts that were written into bundles."),
        ("record_bytes", "record_bytes", "Bytes in the undo store that these records have taken."),
        ("undo_failures", "undo_failures", "Times that a job paused because records could not be kept."),
    ):
        family = counter(name, text, "portal")
        for portal, counts in stats.items():
            family.add_metric([portal], counts.get(counted, 0))
        yield family


def _results(counts: Mapping[str, int], call: str) -> dict[str, int]:
    found = dict.fromkeys(RESULTS, 0)
    for name, count in counts.items():
        kind, _, rest = name.partition(":")
        of_call, _, result = rest.partition(":")
        if (kind, of_call) == ("calls", call):
            word = result if _WORD.fullmatch(result) else "other"
            found[word] = found.get(word, 0) + count
    return found


def _cumulative(counts: Mapping[str, int], call: str) -> list[tuple[str, float]]:
    total = 0
    buckets: list[tuple[str, float]] = []
    for most_s in BUCKET_NAMES:
        total += counts.get(f"seconds:{call}:{most_s}", 0)
        buckets.append((most_s, total))
    return buckets


def _seconds_until(at: str | None, now_ms: int) -> float:
    """Seconds from now until a time, negative if it has passed; 0 for no time."""
    if at is None:
        return 0.0
    return unix_s(at) - now_ms / 1000
