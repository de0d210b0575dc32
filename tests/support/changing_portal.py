"""A simulated portal of 20,000 contacts whose other users go on working, and what is selected on it meanwhile.

A contact that nobody has edited is selected if and only if the oracle says so. One that was edited is selected once or
not at all; if it is, its verdict is what its rights say.
"""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from hypothesis import strategies as st
from pyroaring import BitMap

import simulator
from cli.listing import Listing
from cli.pace import Pace
from config.portal import Portal
from jobs.words.errors import BadFilter
from jobs.words.filters import Filter
from simulator import Behaviour, World
from tests.support.sweeping import portal_settings
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore

CONTACTS = 20_000
#: Edits of the other users, each second.
EDITS_PER_S = 50.0

_TAGS = {"trash": 6000, "Old Import": 3000, "vip": 800, "Fürth & Söhne": 1500, "a, b": 600}
_USERS = ("11111111-2222-4333-8444-555555555555", "aaaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee")
_FIRST_DAY = date(2010, 1, 1)
_DAYS = 10
#: Moments of a day that filters get wrong.
_MOMENTS = ("00:00:00", "00:00:01", "23:58:59", "23:59:00", "23:59:01", "23:59:30", "23:59:59")


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What differs from one portal to the next.

    Attributes:
        seed: decides which contacts have what, and who edits which.
        page_limit: contacts of a page, at most.
        utc_offset_minutes: of the portal's clock.
    """

    seed: int
    page_limit: int = 1000
    utc_offset_minutes: int = 0

    def behaviour(self, edits_per_s: float = EDITS_PER_S) -> Behaviour:
        """Return how the portal behaves: reading all of it takes about a second, whatever the size of its pages."""
        return Behaviour(
            base_ms=25 * self.page_limit / 1000,
            page_limit=self.page_limit,
            utc_offset_minutes=self.utc_offset_minutes,
            edits_per_s=edits_per_s,
            edit_ids=list(range(1 + self.seed % 5, CONTACTS + 1, 5)),
            edit_kinds=["create", "delete", "delete", "tag", "untag", "set_email", "remove_email", "set_created"],
            seed=self.seed,
        )

    def world(self) -> World:
        """Return the portal's contacts."""
        return World(
            CONTACTS,
            read_only=300,
            invoiced=200,
            invisible=150,
            missing=400,
            no_email=4000,
            tagged=_TAGS,
            stages={stage: range(stage, CONTACTS + 1, 7) for stage in (1, 2)},  # a contact is in one stage at most
            types={kind: range(kind, CONTACTS + 1, 4) for kind in (1, 2)},
            responsible=dict.fromkeys(_USERS, 4000),
            with_opportunity=2500,
            created={
                number: f"{_FIRST_DAY + timedelta(days=number // 7 % _DAYS)}T{_MOMENTS[number % len(_MOMENTS)]}"
                for number in range(1, CONTACTS + 1, 3)
            },
            import_every_s=21_600,
            employed=True,
            seed=self.seed,
        )


scenes = st.builds(
    Scene,
    seed=st.integers(0, 1_000_000),
    page_limit=st.sampled_from([1000, 300, 100]),
    utc_offset_minutes=st.sampled_from([-720, -210, 0, 60, 345, 840]),
)


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    """Generate filters of one or several members, as users would write them."""
    tag = st.sampled_from([*_TAGS, "TRASH", "old import", " vip"])
    day = st.integers(-2, _DAYS + 2).map(lambda days: _FIRST_DAY + timedelta(days=days))
    members: dict[str, st.SearchStrategy[Any]] = {
        "tags": st.lists(tag, min_size=1, max_size=2).map(tuple),
        "without_tags": st.lists(tag, min_size=1, max_size=3).map(tuple),
        "view": st.sampled_from(["company", "person", "with_opportunity"]),
        "stage": st.sampled_from([1, 2, 3]),
        "type": st.sampled_from([1, 2]),
        "responsible": st.sampled_from(_USERS),
        "created_from": day.map(str),
        "created_to": day.map(str),
        "without_email": st.just(True),
    }
    wanted = draw(st.lists(st.sampled_from(sorted(members)), min_size=1, max_size=4, unique=True))
    try:
        return Filter.from_json({name: draw(members[name]) for name in wanted})
    except BadFilter:  # it contradicts itself
        return Filter(everything=True)


@contextlib.asynccontextmanager
async def changing(scene: Scene) -> AsyncIterator[simulator.Portal]:
    """Run the portal while its other users work."""
    async with simulator.running(scene.world(), scene.behaviour()) as portal:
        yield portal


def oracle(portal: simulator.Portal, selection: Filter) -> BitMap:
    """Return what a filter ought to select now."""
    members = {name: value for name, value in selection.members().items() if name != "everything"}
    return portal.world.select(**members)


def edited(portal: simulator.Portal) -> BitMap:
    """Return the contacts that anybody has edited so far."""
    return BitMap(edit.contact_id for edit in portal.truth.edits)


async def listed(portal: simulator.Portal, selection: Filter) -> list[int]:
    """Return the contacts that `crm-sweep select` would write, in its order."""
    settings: Portal = portal_settings(portal)
    pace = Pace(settings, None)
    client = PortalClient(settings, LocalTokenStore(), pace)
    try:
        return [contact.id async for page in Listing(settings, client, pace, selection).pages() for contact in page]
    finally:
        await client.close()


def verdict(portal: simulator.Portal, contact_id: int) -> str:
    """Return what a plan has to say of a visible contact; rights do not change while the others work."""
    if contact_id in portal.world.read_only:
        return "read_only"
    return "has_invoice" if contact_id in portal.world.invoiced else "deletable"
