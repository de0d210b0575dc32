"""The metrics of schedules: when each started last and is due next, how often it was skipped, and what it waits for."""

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from jobs.schedules.view import ScheduleView
from jobs.store.times import unix_s
from web.ops.families import counter, gauge


def schedules(views: Sequence[ScheduleView]) -> Iterator[Metric]:
    """Return the metrics, each with its samples.

    Args:
        views: the configured schedules.
    """
    labels = ("portal", "schedule")
    started = gauge("schedule_last_start_timestamp_seconds", "When the schedule started last; 0 for never.", *labels)
    due = gauge("schedule_next_start_timestamp_seconds", "When it is due next; 0 if it is not enabled.", *labels)
    waits = gauge(
        "schedule_waits", "Whether it does not go on by itself: 1 or 0. `crm-sweep schedules` says why.", *labels
    )
    skipped = counter("schedule_skipped", "Due times skipped because the last job had not ended.", *labels)
    for view in views:
        names = [view.portal, view.name]
        started.add_metric(names, unix_s(view.started_at) if view.started_at else 0)
        due.add_metric(names, unix_s(view.next_at) if view.next_at else 0)
        waits.add_metric(names, view.waits_for is not None)
        skipped.add_metric(names, view.skipped)
    yield from (started, due, waits, skipped)
