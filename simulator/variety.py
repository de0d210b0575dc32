"""Contacts of every kind, by formula: what a world with ``varied`` has beside what was asked for.

Each attribute goes to every so many-th contact; the steps are primes, so that all combinations occur. Nothing takes
memory per contact. Only the first contacts take part in opportunities and cases.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from pyroaring import BitMap

from simulator.custom_fields import CHECK_BOX, DATE, SELECT, TEXT, TEXT_AREA, Owner
from simulator.details import ADDRESS, EMAIL, PHONE, WEBSITE, Info, address_data
from simulator.participation import Case, Opportunity
from simulator.users import COLLEAGUES

if TYPE_CHECKING:
    from simulator.world import World

#: The most opportunities, and the most cases.
MOST = 500

TAGS = ("VIP", 'He said "no"', "50% off, today", "Größe & Maß", "🦔 hedgehog", "a/b\\c", "<b>bold</b>", "日本語", "+1")
NOTES = (
    'Said: "call me back", then hung up 📞',
    "First line\nsecond line\n\tindented",
    "It's 5 < 6 & 7 > 3; C:\\temp\\new",
    "Emoji family 👩‍👩‍👧‍👦 and flag 🇱🇻, café, naïve, Ω",
    "",
)
INDUSTRIES, CURRENCIES, TITLES = ("Mining & Metals", "Retail"), ("EUR", "USD"), ("CEO", 'Head of "Things"')

_FIELDS: tuple[tuple[str, int, Owner, str, tuple[str, ...]], ...] = (
    ("Number", TEXT, "contact", '{"size":"40"}', ("A/7", "0042")),
    ("Remarks, long", TEXT_AREA, "person", '{"rows":"2","cols":"30"}', ("two\nlines", 'with "quotes" and ☕')),
    ("Colour", SELECT, "contact", '["red","green, dark","blue"]', ("red", "green, dark", "blue")),
    ("Newsletter", CHECK_BOX, "person", "", ("true", "false")),
    ("Founded", DATE, "company", "", ("1999-12-31T00:00:00.0000000Z", "2020-02-29T00:00:00.0000000Z")),
)


def vary(world: World) -> None:
    """Give the contacts of a new world what makes them differ."""
    about, profile = world.attributes, world.profile
    companies = world.companies() & world.existed
    persons = world.existed - companies
    for number, name in enumerate(TAGS):
        about.tag(name, _every(world.existed, 11, number) | _every(world.existed, 23, number))
    for stage in (1, 2, 3):
        taken = BitMap.union(BitMap(), *about.stages.values())
        about.stages.setdefault(stage, BitMap()).update(_every(world.existed, 7, stage) - taken)
    noted = about.notes.ids()
    for number, note in enumerate(NOTES):
        about.notes.share(note, _every(world.existed, 13, number) - noted)
    about.no_email |= _every(world.existed, 19, 4) - BitMap(about.emails)
    about.no_last_name |= _every(persons, 17, 2) - BitMap(about.names)
    _vary_access(world)
    for number, title in enumerate(TITLES):
        profile.titles.share(title, _every(persons, 5, number))
    for texts, names, step in ((profile.industries, INDUSTRIES, 19), (profile.currencies, CURRENCIES, 29)):
        taken = texts.ids()
        for number, value in enumerate(names):
            texts.share(value, _every(world.existed, step, number) - taken)
    for number, user in enumerate(COLLEAGUES):
        profile.creators.share(user, _every(world.existed, 31, number))
    for label, type_, of, mask, values in _FIELDS:
        owners = {"contact": world.existed, "person": persons, "company": companies}[of]
        new = about.custom_fields.define(label, type_, of, mask)
        for number, value in enumerate(values):
            new.values.share(value, _every(owners, 6 + new.id, number))
    _vary_details(world, persons)
    _take_part(world)


def _every(contact_ids: BitMap, step: int, offset: int) -> BitMap:
    """Return the contacts whose ID leaves this remainder."""
    end = contact_ids.max() + 1 if contact_ids else 0
    return contact_ids & BitMap(range(offset, end, step))


def _vary_access(world: World) -> None:
    """Make some contacts private, or shared to be read: for one colleague or two, or for administrators alone."""
    profile, everyone = world.profile, world.existed
    profile.private |= _every(everyone, 13, 5) - profile.shared_to_read
    profile.shared_to_read |= _every(everyone, 13, 7) - profile.private
    restricted = profile.private | profile.shared_to_read
    world.attributes.set_responsible(COLLEAGUES[0], _every(restricted, 2, 0))
    world.attributes.set_responsible(COLLEAGUES[1], _every(restricted, 3, 0))


def _vary_details(world: World, persons: BitMap) -> None:
    details, everyone = world.profile.details, world.existed

    def phone(contact_id: int) -> Info:
        return Info(
            PHONE, 2, f"+49 (30) {contact_id:07}-{contact_id % 10}", primary=True, id=1_000_000_000 + contact_id
        )

    def fax(contact_id: int) -> Info:
        return Info(PHONE, 3, f"+371 67{contact_id:06}", primary=False, id=1_100_000_000 + contact_id)

    def second_email(contact_id: int) -> Info:
        address = f"o'neill+{contact_id}@mail.example.org"
        return Info(EMAIL, 0, address, primary=False, id=1_200_000_000 + contact_id)

    def third_email(contact_id: int) -> Info:
        return Info(EMAIL, 2, f"büro{contact_id}@example.net", primary=False, id=1_300_000_000 + contact_id)

    def site(contact_id: int) -> Info:
        data = f"https://example.com/?id={contact_id}&q=a%20b#top"
        return Info(WEBSITE, 1, data, primary=True, id=1_400_000_000 + contact_id)

    def office(contact_id: int) -> Info:
        parts = {"street": f'{contact_id}, "Old" Street / 2', "city": "Rīga", "zip": "LV-1021", "country": "Latvia"}
        return Info(ADDRESS, 2, address_data(parts), primary=True, id=1_500_000_000 + contact_id)

    def bill(contact_id: int) -> Info:
        parts = {"street": "Box 7\nBackyard", "city": "São Paulo", "state": "SP", "country": "Brazil"}
        return Info(ADDRESS, 3, address_data(parts), primary=False, id=1_600_000_000 + contact_id)

    details.follow(_every(everyone, 2, 0), phone)
    details.follow(_every(everyone, 3, 0), fax)
    details.follow(_every(everyone, 5, 1) - world.attributes.no_email, second_email)
    details.follow(_every(persons, 7, 1) - world.attributes.no_email, third_email)
    details.follow(_every(everyone, 7, 3), site)
    details.follow(_every(everyone, 5, 3), office)
    details.follow(_every(everyone, 11, 4), bill)


def _take_part(world: World) -> None:
    """Make opportunities with a main contact and without one, and cases, of three contacts each."""
    everyone, taking_part = world.existed, world.participation
    for number in range(min(MOST, len(everyone) // 8)):
        three = everyone[8 * number : 8 * number + 3]
        deal_id = _free(taking_part.opportunities)
        main, members = (three[0], three) if number % 3 else (0, three[1:])
        title = f'Deal {deal_id}: "{TAGS[number % len(TAGS)]}"'
        description = NOTES[number % len(NOTES)]
        deal = Opportunity(
            deal_id,
            title,
            main,
            BitMap(members),
            description,
            responsible=COLLEAGUES[number % 3],
            bid_value=number * 12.5,
            stage=1 + number % 5,
            private=number % 5 == 4,
            access=[COLLEAGUES[2]] if number % 5 == 4 else [],
        )
        taking_part.add(deal)
        case_id = _free(taking_part.cases)
        case = Case(
            case_id, f"Case {case_id}: {TAGS[number % len(TAGS)]}", BitMap(everyone[8 * number + 2 : 8 * number + 5])
        )
        taking_part.add(case)


def _free(numbers: Iterable[int]) -> int:
    return max(numbers, default=0) + 1
