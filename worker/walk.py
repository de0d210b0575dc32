"""One pass over the portal's listing, page by page, while contacts come and go: pure, and small enough to be stored.

The listing is sorted by contact ID, ascending, and paged by offset. Offsets shift when contacts before them disappear
or appear, so each page after the first asks for one record of overlap. A page is one contiguous piece of the listing at
one moment. If it begins at or before the last contact that was taken, everything in it beyond that contact follows
without a gap. If it begins beyond it, contacts before it have gone, and some that were never seen may have slipped back
past the offset: the page is dropped, and an earlier one is asked for.

So a contact that is there, and matches, during the whole pass is taken exactly once. One that comes, goes, or begins to
match meanwhile is taken once or not at all.

The portal's `nextIndex` is one too large, and its `total` can be wrong: neither is used for paging.
"""

from dataclasses import dataclass
from enum import Enum

import msgspec

from worker.portal_answers import Contact, Page

#: Contacts of a page: the portal's own limit.
FULL_PAGE = 1000
#: Pages that lead nowhere, since the last new contact, after which the portal is not believed any more. A burst of
#: deletions costs fewer than ten.
MOST_STUCK = 100


class WalkFlaw(Enum):
    """Why a pass cannot go on."""

    NOT_ASCENDING = "a page lists contacts out of order, or one of them twice"
    STUCK = "the pages do not move on, whatever start index is asked for"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """The page to ask the portal for."""

    start_index: int
    count: int


class Walk(msgspec.Struct):
    """The state of one pass. Ask the portal for `request()`, and feed what it answers, until `finished`."""

    received: int = 0
    """Where in the listing the last page that was used ended: an offset."""
    last_id: int = 0
    """The last contact that was taken; all later ones have larger IDs."""
    step_back: int = 0
    """How many records further back the next page begins, because contacts before it have gone; 0 as a rule."""
    page_size: int = FULL_PAGE
    """Contacts to ask for at a time, at least 2; can be changed between pages."""
    finished: bool = False
    stuck: int = 0
    """Pages that led nowhere since the last new contact."""
    reached: int = 0
    """The last contact of the last page that was used, also if it was taken long before."""

    def request(self) -> PageRequest:
        """Return the page to ask for next."""
        # With a single record per page, the overlap would be all of it.
        return PageRequest(max(0, self.received - 1 - self.step_back), max(2, self.page_size))

    def feed(self, page: Page) -> tuple[Contact, ...] | WalkFlaw:
        """Take a page that answers `request()`.

        Returns:
            The contacts that are new, strictly ascending and beyond all earlier ones; or why the pass cannot go on, in
            which case its state is unchanged.
        """
        if not page.ascending:
            return WalkFlaw.NOT_ASCENDING
        if self.stuck >= MOST_STUCK:
            return WalkFlaw.STUCK
        asked = self.request()
        contacts = page.contacts
        # A page from the beginning needs no overlap: nothing can have slipped past it.
        if asked.start_index > 0 and (not contacts or contacts[0].id > self.last_id):
            self.step_back = self.step_back * 10 or 1
            self.stuck += 1
            return ()
        new = tuple(contact for contact in contacts if contact.id > self.last_id)
        self.received = asked.start_index + len(contacts)
        self.step_back = 0
        self.finished = len(contacts) < asked.count and page.next_index == 0
        top = contacts[-1].id if contacts else 0
        if new:
            self.stuck = 0
            self.last_id = top
        elif top <= self.reached and not self.finished:
            self.stuck += 1
        self.reached = top
        return new
