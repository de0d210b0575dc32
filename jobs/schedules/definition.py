"""What a schedule is, as a fingerprint: two workers with the same one do the same."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from config.settings import Schedule, Settings
from jobs.words.errors import BadFilter, BadSubmission
from jobs.words.filters import Filter
from jobs.words.labels import check_label


def wrong_schedules(settings: Settings) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Yield what is wrong with the filters and labels of schedules (a check of `load_settings`)."""
    for position, schedule in enumerate(settings.schedules):
        path = ("schedules", position)
        try:
            filter_of(schedule)
        except BadFilter as error:
            # A member that the filter does not have is no setting that could be named.
            member = (error.member,) if error.member else ()
            yield (*path, "filter", *member), error.problem
        try:
            check_label(schedule.label)
        except BadSubmission as error:
            yield (*path, "label"), str(error).removeprefix("label: ")


def filter_of(schedule: Schedule) -> Filter:
    """Return the filter of a schedule.

    Raises:
        BadFilter: it is none; `wrong_schedules` finds that when the settings are loaded.
    """
    return Filter.from_json(schedule.filter)


def definition_of(schedule: Schedule) -> str:
    """Fingerprint all that a schedule says."""
    facts = schedule.model_dump(exclude={"filter"}) | {"filter": filter_of(schedule).members()}
    return _fingerprint(facts)


def timing_of(schedule: Schedule) -> str:
    """Fingerprint what says when a schedule starts."""
    return _fingerprint(schedule.model_dump(include={"cron", "timezone", "enabled"}))


def job_id_at(name: str, due_ms: int) -> str:
    """Return the ID of the job that starts for a due time: the same wherever and how often it is made.

    Args:
        name: the schedule's name.
        due_ms: the due time, a whole minute; Unix milliseconds.
    """
    return f"{name}-{datetime.fromtimestamp(due_ms / 1000, UTC):%Y%m%dT%H%MZ}"


def job_id_by_hand(name: str, now_ms: int) -> str:
    """Return the ID of a job that is started by hand; it has seconds, so it is never that of a due time."""
    return f"{name}-{datetime.fromtimestamp(now_ms / 1000, UTC):%Y%m%dT%H%M%SZ}"


def _fingerprint(facts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(facts, order="sorted")).hexdigest()[:32]
