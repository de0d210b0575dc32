"""Whether the plan of a schedule's job is approved without a person: a pure decision, and its reason if not."""

from dataclasses import dataclass
from enum import StrEnum

import msgspec

from config.settings import Portal, Schedule
from jobs.plan.summary import Plan, Selection
from jobs.schedules.definition import filter_of
from jobs.view.job import Job
from jobs.words.verdicts import Verdict

#: Warnings of a plan that need no look: the schedule's own limits say how much is too much, the portal's daily cap only
#: makes it slower, and where nothing is deletable nothing can go wrong. Any other warning is for a person.
HARMLESS = frozenset({"large_share", "daily_cap", "nothing_deletable"})


class Hold(StrEnum):
    """Why a plan waits for a person."""

    DISABLED = "disabled"
    SCHEDULE_CHANGED = "schedule_changed"
    STOPPED = "stopped"
    SECOND_PERSON = "second_person"
    NOT_AUTOMATIC = "not_automatic"
    MAX_CONTACTS = "max_contacts"
    MAX_SHARE = "max_share"
    WARNINGS = "warnings"
    GUARD = "guard"


class Held(msgspec.Struct, frozen=True):
    """A plan waits for a person."""

    why: Hold
    """A stable word."""
    explanation: str
    """The same in plain words, with the numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What there is to decide about.

    Attributes:
        schedule: the schedule's settings.
        portal: its portal's settings.
        job: its newest job, which waits for approval.
        plan: that job's plan.
        stopped: whether a user has stopped the portal's deletions.
    """

    schedule: Schedule
    portal: Portal
    job: Job
    plan: Plan
    stopped: bool


def decide(case: Case) -> Held | None:
    """Return why a plan waits for a person; None to approve it.

    Every guard of the portal is checked again when the plan is approved.
    """
    schedule, plan = case.schedule, case.plan
    wanted = Selection(kind="filter", filter=filter_of(schedule))
    made_as = case.job.schedule, case.job.portal, case.job.selection
    if made_as != (schedule.name, schedule.portal, wanted):
        return Held(Hold.SCHEDULE_CHANGED, "the job was made with another filter or portal than the schedule has now")
    if schedule.undo and case.job.bundle is None:
        return Held(Hold.SCHEDULE_CHANGED, "the job keeps no records, and the schedule wants them kept now")
    if case.stopped:
        return Held(Hold.STOPPED, f"a user has stopped the deletions of {case.portal.name}")
    if case.portal.needs_second_person(case.job.total):
        return Held(
            Hold.SECOND_PERSON,
            f"it has {case.job.total:,} contacts; above {case.portal.second_person_above:,}, a person has to approve",
        )
    deletable = plan.counts[Verdict.DELETABLE]
    if not deletable:
        return None  # so that its contacts get their outcomes, and nobody is asked about nothing
    if not schedule.enabled:
        return Held(Hold.DISABLED, "the schedule is not enabled")
    return _above_limits(schedule, plan, deletable) or _worth_a_look(plan)


def _above_limits(schedule: Schedule, plan: Plan, deletable: int) -> Held | None:
    if not schedule.max_contacts or not schedule.max_share:
        return Held(Hold.NOT_AUTOMATIC, "max_contacts and max_share are not set: nothing is approved automatically")
    if deletable > schedule.max_contacts:
        return Held(
            Hold.MAX_CONTACTS,
            f"it deletes {deletable:,} contacts, and max_contacts of the schedule is {schedule.max_contacts:,}",
        )
    share = deletable / plan.portal_total if plan.portal_total else 1.0
    if share > schedule.max_share:
        return Held(
            Hold.MAX_SHARE,
            f"it deletes {share:.2%} of the portal, and max_share of the schedule is {schedule.max_share:.2%}",
        )
    return None


def _worth_a_look(plan: Plan) -> Held | None:
    codes = sorted({warning.code for warning in plan.warnings} - HARMLESS)
    return Held(Hold.WARNINGS, f"its plan warns: {', '.join(codes)}") if codes else None
