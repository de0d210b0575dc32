"""The newest contacts of a portal: what has been created lately is among them, because new contact IDs only grow."""

from collections.abc import AsyncIterator, Container
from dataclasses import dataclass

from restore.caller import Caller
from restore.errors import PortalRefuses
from restore.record import BadRecord, Record, contact_of
from worker.creating_client import objects

#: Contacts of the first page, which is enough for a look after a lost answer, and of those that follow.
_FIRST_PAGE, _PAGE = 20, 1000
#: Contacts that a page repeats from the one before it: some may have been deleted meanwhile, which shifts the others.
_OVERLAP = 5


@dataclass(slots=True)
class Newest:
    """Reads the newest contacts of a portal.

    Args:
        caller: makes the calls.
    """

    caller: Caller

    async def top(self) -> int:
        """Return the highest contact ID that the account sees; 0 if there is no contact."""
        async for contacts in self._pages(1):
            return max((contact.id for contact in contacts), default=0)
        return 0

    async def above(self, watermark: int, claimed: Container[int]) -> dict[int, Record]:
        """Return the contacts above a contact ID that are not claimed yet.

        Args:
            watermark: the contact ID.
            claimed: contacts that need not be looked at.
        """
        return {contact.id: contact async for contact in self.down_to(watermark) if contact.id not in claimed}

    async def down_to(self, watermark: int, page: int = _FIRST_PAGE) -> AsyncIterator[Record]:
        """Yield the contacts above a contact ID, newest first; one may come twice.

        Args:
            watermark: the contact ID.
            page: contacts of the first page.
        """
        async for contacts in self._pages(page):
            for contact in contacts:
                if contact.id > watermark:
                    yield contact
            if not contacts or min(contact.id for contact in contacts) <= watermark:
                return

    async def _pages(self, count: int) -> AsyncIterator[list[Record]]:
        start = 0
        while True:
            contacts = await self._page(start, count)
            yield contacts
            if len(contacts) < count:
                return
            start += max(len(contacts) - _OVERLAP, 1)
            count = _PAGE

    async def _page(self, start: int, count: int) -> list[Record]:
        said = await self.caller.must(lambda: self.caller.client.newest(start, count, may_send=self.caller.may_send))
        try:
            return [contact_of(item) for item in objects(said) or ()]
        except BadRecord:
            raise PortalRefuses(f"portal {self.caller.portal.name} lists contacts in an unknown form") from None
