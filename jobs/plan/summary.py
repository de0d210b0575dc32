"""A plan as users see it, and what a job was selected by."""

from typing import Literal

import msgspec

from jobs.words.filters import Filter
from jobs.words.verdicts import Verdict


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a job's contacts were chosen."""

    kind: Literal["list", "filter"]
    filter: Filter | None = None
    """What the portal was asked for; missing for a list."""


BLAST_RADIUS = "blast_radius"
"""The code of the warning that a plan deletes more than `max_share`, so that it cannot be approved."""


class PlanWarning(msgspec.Struct, frozen=True):
    """Something about a plan that a person should know before approving it."""

    code: str
    """A stable word."""
    count: int
    """How many contacts it concerns."""
    message: str
    """The same in plain words."""


class SampleContact(msgspec.Struct, frozen=True):
    """One contact of a plan's sample."""

    contact_id: int
    display_name: str
    kind: Literal["person", "company"]
    tags: tuple[str, ...]
    created: str
    """When it was created, as the portal writes it: in the portal's time zone."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What would become of a job's contacts."""

    digest: str
    """What is approved: it covers the portal, the list, the verdicts, the protected list and the caps in force."""
    made_at: str
    expires_at: str
    """Until when it can be approved."""
    portal_total: int
    """Contacts that the portal shows to the account."""
    counts: dict[Verdict, int]
    """Contacts by verdict; they add up to the job's `total`."""
    share: float
    """Part of `portal_total` that is deletable, 0 to 1."""
    calls: int
    """Calls that carrying it out takes, about."""
    estimate_s: tuple[float, float]
    """How long carrying it out takes, from and to, in seconds."""
    warnings: tuple[PlanWarning, ...] = ()
    sample: tuple[SampleContact, ...] | None = None
    """Some of the contacts, spread over the list; None where it is not shown: to a key without the scope `control`, and
    after the plan was approved, has expired or its job has ended."""


class Planning(msgspec.Struct, frozen=True, kw_only=True):
    """How far the survey of a job is."""

    way: Literal["listing", "look_ups"] | None
    """How its contacts are read: by the portal's listing or by look-ups, whichever takes fewer calls; None before that
    is decided."""
    contacts_read: int
    contacts_expected: int | None
    """Contacts to be read, about; None while that is not known."""
    contacts_selected: int | None
    """Contacts that a filter has selected so far; None for a list, which is given, and while that is not known."""
    calls: int
    """Calls so far."""
