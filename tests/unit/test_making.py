"""A bundle in the making: whatever pages come, and wherever it begins again, each contact is kept once and in order."""

import random
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyroaring import BitMap

from config.settings import Portal
from jobs.bundles.codec import Packer
from jobs.bundles.kept import Kept
from jobs.bundles.record import read_line
from tests.support.bundles import RECIPIENTS, lines_in
from worker import making as module
from worker.links import Kind, LinkListing
from worker.making import Judge, Making, Need, Segment
from worker.portal_answers import Contact, Link, LinkPage, Page
from worker.survey import Keeping, Stage, Survey
from worker.verdicts import Verdicts

#: Contacts of a segment, in place of 65,536.
SIZE = 8


@pytest.fixture(autouse=True, scope="module")
def _small_segments() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "SEGMENT_SIZE", SIZE)
        yield


def contact(contact_id: int, *, deletable: bool = True) -> Contact:
    return Contact(
        id=contact_id,
        display_name="",
        is_company=False,
        can_edit=True,
        can_delete=deletable,
        tags=(),
        created="2020-01-01",
        has_email=False,
    )


JUDGE = Judge(
    filter=None,
    verdicts=Verdicts(Portal.model_validate({"name": "main", "url": "http://x", "token": "t"}), BitMap([13])),
    has_plan=False,
    has_started=False,
)


@dataclass
class Run:
    """One bundle, made by processes that come and go.

    Attributes:
        ids: the job's list.
        world: contacts that are there, and whether they can be deleted.
        by_contact: whether opportunities are asked for contact by contact.
        checkpoint: what Redis has.
        kept: contacts in the objects written, in order.
        codes: what Redis has of each place.
    """

    ids: list[int]
    world: dict[int, bool]
    page_size: int
    by_contact: bool
    checkpoint: bytes = b""
    kept: list[int] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)

    def start(self) -> Making:
        survey = msgspec.json.decode(self.checkpoint, type=Survey) if self.checkpoint else Survey(stage=Stage.KEEP)
        survey.way, survey.keeping = "listing", Keeping(bundle="B")
        survey.walk.page_size = self.page_size
        links = {kind: LinkListing(kind, BitMap(self.ids), 1, finished=True) for kind in Kind}
        links[Kind.OPPORTUNITY].by_contact = self.by_contact
        number = min(survey.position, len(self.ids) - 1) // SIZE
        return Making(
            checkpoint=self.checkpoint,
            survey=survey,
            keeping=survey.keeping,
            segment=self.segment(number),
            links=links,
        )

    def segment(self, number: int) -> Segment:
        ids = array("I", self.ids[number * SIZE : (number + 1) * SIZE])
        codes = bytearray(self.codes.get(number * SIZE + at, 0) for at in range(len(ids)))
        return Segment(number, ids, codes)

    def page(self, making: Making) -> None:
        walk, there = making.survey.walk, sorted(self.world)
        asked = walk.request()
        listed = there[asked.start_index : asked.start_index + asked.count]
        more = asked.start_index + len(listed) < len(there)
        contacts = tuple(contact(one, deletable=self.world[one]) for one in listed)
        making.before = msgspec.structs.replace(walk)
        new = walk.feed(Page(contacts, len(contacts), next_index=int(more)))
        assert isinstance(new, tuple)
        making.turn_page(new, [b'{"id":%d}' % one.id for one in new])

    def write(self, making: Making) -> None:
        if making.packer.contacts:
            making.packer.close()
            lines = lines_in(making.packer.seal(RECIPIENTS).data)
            self.kept += [read_line(line).contact["id"] for line in lines]
            making.packer = Packer()
        self.codes |= {making.segment.start + at: code for at, code in enumerate(making.segment.codes)}
        self.checkpoint = making.checkpoint = msgspec.json.encode(making.at_checkpoint())

    def step(self, making: Making, *, is_last: bool) -> None:
        """Do what the keeper does with one call."""
        if making.pending:
            one = making.pending[0]
            assert one.needs == [Need.OPPORTUNITIES]
            one.listing(Kind.OPPORTUNITY).feed(LinkPage((Link(one.contact_id, "own", (), one.contact_id),), 1, 1))
            one.needs.pop()
        else:
            self.page(making)
        while True:
            making.sort(JUDGE)
            making.pack()
            if not making.segment_is_read:
                break
            self.write(making)
            if making.settled >= len(self.ids):
                return
            making.segment = self.segment(making.segment.number + 1)
        if is_last or not making.packer.contacts:
            self.write(making)


@given(
    ids=st.sets(st.integers(1, 60), min_size=1, max_size=40),
    world=st.dictionaries(st.integers(1, 70), st.booleans(), max_size=60),
    page_size=st.integers(2, 12),
    by_contact=st.booleans(),
    fates=st.lists(st.sampled_from(["goes on", "goes on", "ends its slice", "dies"]), max_size=60),
)
def test_each_contact_that_can_be_deleted_is_kept_once_and_in_order(
    ids: set[int], world: dict[int, bool], page_size: int, *, by_contact: bool, fates: list[str]
) -> None:
    run = Run(sorted(ids), world, page_size, by_contact)
    making = run.start()
    for fate in [*fates, *["goes on"] * 1000]:
        if making.settled >= len(run.ids):
            break
        run.step(making, is_last=fate == "ends its slice")
        if fate == "dies" and making.settled < len(run.ids):
            making = run.start()
    expected = [one for one in run.ids if world.get(one) and one != 13]
    assert run.kept == expected
    assert [run.codes[at] == Kept.RECORD for at in range(len(run.ids))] == [one in expected for one in run.ids]
    assert Kept.UNKNOWN not in run.codes.values()


@given(st.lists(st.integers(1, 30), unique=True, max_size=30), st.integers(1, 7), st.randoms(use_true_random=False))
def test_a_listing_without_an_order_is_read_until_nothing_is_missing(
    numbers: list[int], page_size: int, chance: random.Random
) -> None:
    """Each page is of another order, as ties are; what was missed shows, and is read again or asked for by contact."""
    links = [Link(number, f"Deal {number}", (number,), 0) for number in numbers]
    listing = LinkListing(Kind.OPPORTUNITY, BitMap(numbers), calls_instead=1000)
    while not listing.finished:
        start, _ = listing.request()
        shuffled = chance.sample(links, len(links))
        items = tuple(shuffled[start : start + page_size])
        more = start + len(items) < len(links)
        listing.feed(LinkPage(items, len(items), len(links), next_index=int(more)))
    assert listing.by_contact or {one: [link.id for link in found] for one, found in listing.of.items()} == {
        number: [number] for number in numbers
    }
