"""One portal's guards: what has to be agreed before contacts are deleted, how many may be, and when."""

import re
from typing import Annotated

from pydantic import Field, field_validator

from config.fields import Section, Unit, refuse
from config.opening_hours import check_windows
from config.timezone import TimeZone

_SHARE = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?)\s*%")
_COUNT = re.compile(r"[0-9]{1,10}")


class Guards(Section):
    """The guards of a portal; docs/guards.md says which disaster each one meets.

    Jobs that are larger than a number of contacts are guarded where a setting says so; 0 turns such a guard off.
    """

    plan_required: bool = False
    """Whether jobs without a plan are refused, whichever way they come in."""

    plan_above: Annotated[int, Field(ge=0), Unit("contacts")] = 0
    """Jobs larger than this are refused without a plan; 0 turns this off."""

    plan_valid_h: Annotated[float, Field(gt=0, le=8760), Unit("h")] = 72.0
    """How long a plan can be approved after it was made."""

    plan_sample: Annotated[int, Field(ge=0, le=100), Unit("contacts")] = 20
    """Contacts that a plan shows with their names, spread over the list; kept only until it is approved."""

    recheck_after_s: Annotated[float, Field(ge=0, le=604_800), Unit("s")] = 900.0
    """If a campaign by filter starts later than this after its plan was made, it first checks who still matches."""

    second_person_above: Annotated[int, Field(ge=0), Unit("contacts")] = 0
    """Somebody other than the submitter has to approve jobs larger than this; 0 turns this off."""

    cooling_off_s: Annotated[float, Field(ge=0, le=604_800), Unit("s")] = 0.0
    """How long an approved job waits before its first PUT, and can still be cancelled without any loss."""

    canary: str = ""
    """Contacts (`25`) or share (`1%`) of a job that are deleted first, spread evenly over its list; empty for none."""

    canary_departures: Annotated[int, Field(ge=0), Unit("contacts")] = 0
    """The job pauses if more contacts of its canary than this did not end as planned; without a plan, failed."""

    canary_confirm: bool = False
    """Whether the job pauses after its canary in any case, until a user resumes it."""

    max_contacts_per_job: Annotated[int, Field(ge=0), Unit("contacts")] = 0
    """Larger jobs are refused; 0 turns this off."""

    max_contacts_per_day: Annotated[int, Field(ge=0), Unit("contacts")] = 0
    """Contacts in the PUTs of one day, from midnight to midnight in `timezone`; 0 turns this off."""

    max_share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Largest share of the portal's contacts that one plan may delete; 1 turns this off."""

    protected_tags: Annotated[tuple[str, ...], Field(strict=False)] = ()
    """Contacts with one of these tags are never deleted by a job with a plan; in the environment, a JSON array."""

    windows: str = ""
    """When contacts may be deleted, in OpenStreetMap's syntax of opening hours; empty for always."""

    timezone: TimeZone = "UTC"
    """Time zone of `windows` and of the day of `max_contacts_per_day`, by its IANA name."""

    @field_validator("canary", mode="before")
    @classmethod
    def _count_as_text(cls, value: object) -> object:
        return str(value) if type(value) is int else value

    @field_validator("canary")
    @classmethod
    def _check_canary(cls, canary: str) -> str:
        text = canary.strip()
        share = _SHARE.fullmatch(text)
        if text and not _COUNT.fullmatch(text) and not (share and 0 < float(share[1]) <= 100):
            refuse('a number of contacts such as 25, or a share such as "1%", up to 100%')
        return text

    @field_validator("protected_tags")
    @classmethod
    def _check_tags(cls, tags: tuple[str, ...]) -> tuple[str, ...]:
        if not all(tag.strip() for tag in tags):
            refuse("names of tags that are not empty")
        return tags

    @field_validator("windows")
    @classmethod
    def _check_windows(cls, windows: str) -> str:
        try:
            return check_windows(windows)
        except ValueError as error:
            refuse(str(error))

    def canary_size(self, contacts: int) -> int:
        """Return how many contacts of a job go first; 0 for no canary.

        Args:
            contacts: contact IDs of the job.
        """
        share = _SHARE.fullmatch(self.canary)
        if share:
            # Rounded up, so that a share of anything is at least one contact.
            return min(contacts, -int(-contacts * float(share[1]) // 100))
        return min(contacts, int(self.canary or 0))

    def needs_plan(self, contacts: int) -> bool:
        """Check whether a job of this many contact IDs is refused without a plan."""
        return self.plan_required or 0 < self.plan_above < contacts

    def needs_second_person(self, contacts: int) -> bool:
        """Check whether somebody other than the submitter has to approve a job of this many contact IDs."""
        return 0 < self.second_person_above < contacts
