"""Reading what a filter matches from a portal's listing, one page at a time, with patience."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from cli.errors import PortalFailed
from cli.output import note
from cli.pace import Pace
from cli.summary import duration
from config.portal import Portal
from jobs.words.filters import Filter
from jobs.words.reasons import remedy_without_job
from worker.portal_answers import Contact, Failure, Page, Remedy
from worker.portal_client import PortalClient
from worker.records import matches
from worker.walk import Walk, WalkFlaw

#: Failures in a row that are no attempts, because the portal asks for less or we wait on our own account.
_MOST_THROTTLED = 20
#: Fewest contacts of a page: smaller ones would not make it quicker.
_SMALLEST_PAGE = 50


@dataclass(slots=True)
class Listing:
    """One pass over a portal's listing.

    Args:
        portal: its settings.
        client: calls it.
        pace: gives the turns.
        selection: what to look for.
    """

    portal: Portal
    client: PortalClient
    pace: Pace
    selection: Filter
    read: int = 0
    """Contacts that the portal has listed so far, also those that do not match."""

    async def pages(self) -> AsyncIterator[tuple[Contact, ...]]:
        """Yield the contacts that match, page by page, ascending; a page can have none.

        Raises:
            PortalFailed: the portal refuses, or does not answer usefully for too long.
        """
        walk = Walk()
        while not walk.finished:
            new = walk.feed(await self._page(walk))
            if isinstance(new, WalkFlaw):
                raise PortalFailed(f"portal {self.portal.name}: {new.value}; contacts could be missed")
            self.read += len(new)
            yield tuple(contact for contact in new if matches(self.selection, contact))

    async def _page(self, walk: Walk) -> Page:
        attempts = throttled = 0
        while True:
            await self.pace()
            asked = walk.request()
            answer = await self.client.list_page(asked.start_index, asked.count, self.selection)
            if isinstance(answer, Page):
                return answer
            if answer.action is Remedy.RETRY:
                attempts += 1
            elif answer.action in {Remedy.SLOW_DOWN, Remedy.WAIT}:
                throttled += 1
            else:
                raise self._failed(answer)
            if attempts >= self.portal.max_attempts or throttled >= _MOST_THROTTLED:
                raise self._failed(answer)
            if answer.shrink:
                walk.page_size = max(_SMALLEST_PAGE, walk.page_size // 2)
            wait_s = self._wait_s(answer, attempts + throttled)
            note(f"portal {self.portal.name}: {answer.message}; trying again in {duration(wait_s)}")
            await asyncio.sleep(wait_s)

    def _wait_s(self, failure: Failure, in_a_row: int) -> float:
        if failure.retry_after_s:
            return min(failure.retry_after_s, self.portal.retry_after_max_s)
        return min(self.portal.backoff_max_s, self.portal.backoff_base_s * 2.0 ** min(in_a_row - 1, 64))

    def _failed(self, failure: Failure) -> PortalFailed:
        message = f"portal {self.portal.name}: {failure.reason}: {failure.message}"
        # What the failure says to do is more to the point than what its reason says.
        if ";" not in failure.message and (to_do := remedy_without_job(failure.reason)):
            message = f"{message}; {to_do}"
        return PortalFailed(message)
