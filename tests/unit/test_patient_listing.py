"""Reading a listing is patient with a portal that may recover, and gives up on one that will not."""

from typing import Any

import pytest

from cli.errors import PortalFailed
from cli.listing import Listing
from config.portal import Portal
from jobs.words.filters import Filter
from worker.portal_answers import Contact, Failure, Page, Remedy

PORTAL = Portal.model_validate(
    {"name": "main", "url": "http://127.0.0.1:9", "token": "x", "backoff_base_s": 0.01, "backoff_max_s": 0.01}
)


def failure(action: Remedy, *, reason: str = "timeout", shrink: bool = False) -> Failure:
    return Failure(action, False, reason, None, "the portal is tired", shrink=shrink)


def page(*ids: int, next_index: int = 0) -> Page:
    contacts = tuple(Contact(each, "Ann", False, True, True, (), "2024-01-31T00:00:00Z", False) for each in ids)
    return Page(contacts, count=len(ids), next_index=next_index)


class Script:
    """A client that answers by a script, and repeats its end."""

    def __init__(self, *answers: Page | Failure) -> None:
        self.answers = answers
        self.asked: list[tuple[int, int]] = []

    async def list_page(self, start_index: int, count: int, _selection: Filter) -> Page | Failure:
        self.asked.append((start_index, count))
        return self.answers[min(len(self.asked), len(self.answers)) - 1]


async def _at_once() -> None:
    return None


async def read(client: Any, selection: Filter | None = None) -> list[int]:
    listing = Listing(PORTAL, client, _at_once, selection or Filter(everything=True))  # type: ignore[arg-type]
    return [contact.id async for contacts in listing.pages() for contact in contacts]


async def test_a_page_that_took_too_long_is_asked_for_in_smaller_pieces() -> None:
    client = Script(
        failure(Remedy.RETRY, shrink=True),
        failure(Remedy.RETRY, shrink=True),
        page(*range(1, 251), next_index=251),
        page(250, 251),
    )
    assert await read(client) == list(range(1, 252))
    assert client.asked == [(0, 1000), (0, 500), (0, 250), (249, 250)]


async def test_throttling_is_no_attempt() -> None:
    client = Script(*[failure(Remedy.SLOW_DOWN)] * 12, page(1))
    assert await read(client) == [1]


@pytest.mark.parametrize(
    ("action", "calls"), [(Remedy.STOP, 1), (Remedy.GIVE_UP, 1), (Remedy.RETRY, 5), (Remedy.SLOW_DOWN, 20)]
)
async def test_patience_ends(action: Remedy, calls: int) -> None:
    client = Script(failure(action, reason="portal_auth"))
    with pytest.raises(PortalFailed, match="portal main: portal_auth: the portal is tired; "):
        await read(client)
    assert len(client.asked) == calls


async def test_patience_begins_again_with_every_page() -> None:
    tired = failure(Remedy.RETRY)
    client = Script(tired, tired, tired, page(1, 2, next_index=3), tired, tired, tired, page(2, 3))
    assert await read(client) == [1, 2, 3]


async def test_a_portal_whose_pages_do_not_move_on_is_not_believed() -> None:
    with pytest.raises(PortalFailed, match="the pages do not move on"):
        await read(Script(page(*range(1, 1001), next_index=1001)))


async def test_only_what_matches_is_given() -> None:
    assert await read(Script(page(1, 2)), Filter(tags=("trash",))) == []
