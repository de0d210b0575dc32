"""A survey: which calls it takes to read the contacts of a job, one after the other. Pure: nothing calls or stores.

A survey plans a job, looks again before a late start at what has changed since, or reads the records that are kept
before contacts are deleted (worker/keeper.py). It is carried out in steps of one
call each; between two steps, all that is known of it is in Redis, so any lane can take the next one.

    a filter   count → (search) → select → finish
    a list     count → judge → finish              by the portal's listing, or
               count → (tags) → look up → details → finish   by look-ups: whichever takes fewer calls
    again      confirm | tags
    a bundle   keep

Contacts are always read in ascending order of their IDs, so at every moment `position` divides a job's list into those
that have their verdict and those that have not.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Literal

import msgspec

from jobs.plan.summary import SampleContact
from worker.walk import Walk


class Stage(StrEnum):
    """What a survey does now."""

    COUNT = "count"
    """Ask how many contacts the portal has."""
    SEARCH = "search"
    """Ask how many contacts the portal's search finds, whatever else the filter asks for."""
    SELECT = "select"
    """Walk the listing, with the filter, and collect the contacts that match."""
    JUDGE = "judge"
    """Walk the whole listing, and find the contacts of the list in it."""
    TAGS = "tags"
    """Walk the listing of each protected tag, and mark the contacts of the list that have it."""
    LOOK_UP = "look_up"
    """Look up the contacts of the list, as many at a time as fit into a call."""
    DETAILS = "details"
    """Read what look-ups do not tell of the contacts in the sample."""
    CONFIRM = "confirm"
    """Walk the listing, with the filter, and find out which contacts of the plan still match."""
    KEEP = "keep"
    """Read the records of all contacts that would be sent, and write them into the job's bundle."""
    FINISH = "finish"
    """Add it all up. This takes no call."""


Way = Literal["listing", "look_ups"]


class Sampler(msgspec.Struct):
    """Picks contacts that are spread evenly over a list whose length is not known before its end.

    Attributes:
        most: how many contacts are wanted.
        stride: every so many contacts, one is picked.
        seen: contacts so far.
        picks: those picked so far, at most twice as many as wanted.
    """

    most: int = 0
    stride: int = 1
    seen: int = 0
    picks: list[SampleContact] = []

    def offer(self, contact: SampleContact) -> None:
        """Take the next contact of the list, or leave it."""
        if self.most and self.seen % self.stride == 0:
            self.picks.append(contact)
            if len(self.picks) > 2 * self.most:
                del self.picks[1::2]
                self.stride *= 2
        self.seen += 1

    def sample(self) -> list[SampleContact]:
        """Return the contacts picked, as many as wanted, or all if there are no more."""
        count = min(self.most, len(self.picks))
        return [self.picks[at * len(self.picks) // count] for at in range(count)]


class Keeping(msgspec.Struct, omit_defaults=True):
    """How far a bundle is, as far as it is written.

    Attributes:
        bundle: its ID.
        objects: objects written.
        contacts: records in them.
        bytes: their size.
    """

    bundle: str
    objects: int = 0
    contacts: int = 0
    bytes: int = 0


class Survey(msgspec.Struct, omit_defaults=True):
    """Where a survey stands.

    Attributes:
        stage: what it does now.
        walk: where it is in the listing.
        position: contacts of the list that have their verdict; of a filter, contacts selected so far.
        tag: index of the protected tag that is walked now.
        detail: index of the sample's contact that is read now.
        way: how contacts are read; None until that is decided.
        portal_total: contacts of the portal, as its listing says or as they were counted.
        search_hits: contacts that the portal's search finds; 0 for a filter without a text.
        companies: deletable companies that have persons, or of which that is not known.
        sampler: the sample so far.
        calls: calls so far.
        read: contacts read so far.
        expected: contacts to be read, about.
        selected: contacts that the filter has selected so far; None for a list.
        unwanted: listed contacts that have each of the filter's `without_tags`.
        failures: calls in a row that have failed.
        keeping: how far the bundle is; None for any other survey.
    """

    stage: Stage
    walk: Walk = msgspec.field(default_factory=Walk)
    position: int = 0
    tag: int = 0
    detail: int = 0
    way: Way | None = None
    portal_total: int = 0
    search_hits: int = 0
    companies: int = 0
    sampler: Sampler = msgspec.field(default_factory=Sampler)
    calls: int = 0
    read: int = 0
    expected: int | None = None
    selected: int | None = None
    unwanted: dict[str, int] = {}
    failures: int = 0
    keeping: Keeping | None = None

    def go_to(self, stage: Stage) -> None:
        """Begin another stage, from the first contact on."""
        self.stage = stage
        if stage is not Stage.FINISH:
            self.walk = Walk(page_size=self.walk.page_size)
            self.position = 0
            self.read = 0


def calls_by_listing(portal_total: int, page_size: int) -> int:
    """Return how many calls it takes to walk the whole listing.

    Args:
        portal_total: contacts of the portal.
        page_size: contacts of one page; pages overlap by one.
    """
    return 1 + max(0, -(-(portal_total - page_size) // (page_size - 1)))


def calls_by_look_ups(contacts: int, look_up_size: int, tags: int, sample: int) -> int:
    """Return how many calls it takes to look contacts up.

    Args:
        contacts: contacts of the list.
        look_up_size: contact IDs of one look-up.
        tags: protected tags; the listing of each takes one call or more.
        sample: contacts of the sample, which take two calls each.
    """
    return -(-contacts // look_up_size) + tags + 2 * min(sample, contacts)


def cheaper_way(by_listing: int, by_look_ups: int) -> Way:
    """Return the way that takes fewer calls; the listing if both take as many, because it tells more."""
    return "look_ups" if by_look_ups < by_listing else "listing"


def stage_again(*, is_late: bool, has_filter: bool, tags: Sequence[str]) -> Stage | None:
    """Return what is to be looked at again before contacts are sent; None for nothing.

    Args:
        is_late: whether the job has not started, and its plan is older than `recheck_after_s`.
        has_filter: whether its contacts were chosen by a filter.
        tags: the protected tags.
    """
    if is_late and has_filter:
        return Stage.CONFIRM  # which reads whole records, and so sees their tags as well
    return Stage.TAGS if tags else None
