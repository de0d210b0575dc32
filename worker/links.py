"""What contacts take part in: opportunities and cases, read from the portal's listings of them or contact by contact.

The listings tell the members of each, so reading them takes fewer calls than asking for every contact wherever there
are not many more opportunities than contacts. They have no order without ties. So what was read is compared with the
listing's own count, and read again if something was missed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from pyroaring import BitMap

from worker.envelope import BOM, NotAnEnvelopeError, integer, lower, read_fields, read_items
from worker.portal_answers import Link, LinkPage
from worker.walk import FULL_PAGE

#: How often a listing that does not add up is read again before each contact is asked for instead.
MOST_PASSES = 3


class Kind(StrEnum):
    """What contacts take part in; the values are those in the portal's addresses."""

    OPPORTUNITY = "opportunity"
    CASE = "case"


def read_links(body: bytes) -> LinkPage:
    """Read a page of opportunities or cases, with their members.

    Raises:
        NotAnEnvelopeError: it is not an envelope of success, or one of its items is not such a record.
    """
    envelope, items = read_items(read_fields(body.removeprefix(BOM)))
    return LinkPage(tuple(map(_link, items)), envelope.count, envelope.total, envelope.start_index, envelope.next_index)


def _link(item: Mapping[str, Any]) -> Link:
    title, members, main = item.get("title"), item.get("members"), item.get("contact")
    if not isinstance(title, str | None) or not isinstance(members, list | None):
        raise NotAnEnvelopeError
    return Link(
        id=integer(dict(item), "id"),
        title=title or "",
        members=tuple(integer(lower(member), "id") for member in members or ()),
        main=integer(lower(main), "id", 0) if main is not None else 0,
    )


@dataclass(slots=True)
class LinkListing:
    """One listing of opportunities or cases, read page by page.

    Attributes:
        kind: what it lists.
        wanted: the contacts whose links are of interest.
        calls_instead: calls that asking contact by contact takes.
        by_contact: whether each contact is asked for, because that takes fewer calls or the listing cannot be trusted.
        finished: whether nothing is left to be read.
        of: the links of each contact.
    """

    kind: Kind
    wanted: BitMap
    calls_instead: int
    by_contact: bool = False
    finished: bool = False
    of: dict[int, list[Link]] = field(default_factory=dict)
    page_size: int = FULL_PAGE
    _start: int = 0
    _seen: set[int] = field(default_factory=set)
    _passes: int = 0

    def request(self) -> tuple[int, int]:
        """Return the start index and the count of the page to ask for next."""
        return self._start, self.page_size

    def feed(self, page: LinkPage) -> None:
        """Take a page that answers `request()`."""
        if page.count != len(page.links):
            raise ValueError("a page that is not complete must not be fed")
        if self._start == 0 and page.next_index and page.links:
            # The portal may give fewer on a page than were asked for.
            calls = -(-(page.total - len(page.links)) // len(page.links))
            if calls > self.calls_instead:
                self._give_up()
                return
        for link in page.links:
            if link.id not in self._seen:
                self._seen.add(link.id)
                self._note(link)
        self._start += len(page.links)
        if page.links and (len(page.links) >= self.page_size or page.next_index):
            return
        # The last page's total is what precedes it and itself. Fewer means that one was listed twice, and another not.
        if len(self._seen) >= self._start:
            self.finished = True
            return
        self._passes += 1
        if self._passes >= MOST_PASSES:
            self._give_up()
        else:
            self._start, self._seen, self.of = 0, set(), {}

    def _note(self, link: Link) -> None:
        for contact_id in {*link.members, link.main}:
            if contact_id in self.wanted:
                self.of.setdefault(contact_id, []).append(link)

    def _give_up(self) -> None:
        self.by_contact = self.finished = True
        self.of = {}


def of_contact(links: Sequence[Link], contact_id: int) -> list[tuple[int, str, bool]]:
    """Return the ID and the title of each link, in ascending order, and whether the contact is its main one."""
    return sorted((link.id, link.title, link.main == contact_id) for link in links)
