"""The portal's text search: four indexes, each of which gives up after so many hits.

The persons of the companies that it finds are added to what it finds.
"""

from collections.abc import Iterable, Iterator
from functools import lru_cache

from pyroaring import BitMap

from simulator.attributes import NOTE
from simulator.naming import NAMES, display_name
from simulator.world import World


def search(world: World, text: str, hit_limit: int) -> BitMap:
    """Return the contacts that the search finds; some of them may be gone or invisible.

    Args:
        world: the contacts.
        text: words, each of which has to occur in one and the same document of an index.
        hit_limit: the most hits of an index; 0 for no limit. Deleted contacts that are still in it count.
    """
    words = text.lower().split()
    indexes = (_by_name_and_note, _by_details, _by_custom_fields, _by_history)
    return BitMap.union(BitMap(), *(_first(index(world, words), hit_limit) for index in indexes))


def with_persons_of_companies(world: World, found: BitMap) -> BitMap:
    """Add the persons of all companies that were found."""
    companies = found & world.companies()
    return BitMap.union(found, *(world.persons_of(company) for company in companies))


def _first(hits: Iterable[int], hit_limit: int) -> BitMap:
    if not hit_limit:
        return BitMap(hits)
    if isinstance(hits, BitMap):
        return hits[:hit_limit]
    return BitMap(contact_id for contact_id, _ in zip(hits, range(hit_limit), strict=False))


def _by_name_and_note(world: World, words: list[str]) -> BitMap:
    about, indexed = world.attributes, world.alive | world.stale
    special = indexed & (BitMap(about.names) | about.notes.ids() | about.no_last_name)
    return (_names_by_formula(world, indexed, words) - special) | BitMap(
        contact_id for contact_id in special if _has(f"{about.name(contact_id)} {about.note(contact_id)}", words)
    )


def _names_by_formula(world: World, indexed: BitMap, words: list[str]) -> BitMap:
    found = BitMap()
    for company in (False, True):
        of_kind = world.attributes.companies_among(indexed) if company else indexed
        fitting = _fitting_names(tuple(words), company)
        hits = of_kind if len(fitting) == NAMES else _in_residues(of_kind, fitting)
        found |= hits if company else hits - world.attributes.companies_among(hits)
    return found


@lru_cache(maxsize=64)
def _fitting_names(words: tuple[str, ...], company: bool) -> list[int]:
    return [n for n in range(NAMES) if _has(f"{display_name(n, company=company)} {NOTE}", words)]


def _in_residues(contact_ids: BitMap, residues: list[int]) -> BitMap:
    """Return the contacts whose ID modulo the period of the names is one of these."""
    if not contact_ids or not residues:
        return BitMap()
    if contact_ids.max() > 64 * len(contact_ids):
        fitting = frozenset(residues)
        return BitMap(contact_id for contact_id in contact_ids if contact_id % NAMES in fitting)
    end = contact_ids.max() + 1
    return contact_ids & BitMap.union(BitMap(), *(BitMap(range(residue, end, NAMES)) for residue in residues))


def _by_details(world: World, words: list[str]) -> BitMap:
    about, indexed = world.attributes, world.alive | world.stale
    special = indexed & BitMap(about.emails)
    everywhere = [word in "contact" or word in "@example.com" for word in words]
    if all(everywhere):
        regular = indexed
    elif not all(in_all or any(map(str.isdigit, word)) for word, in_all in zip(words, everywhere, strict=True)):
        regular = BitMap()  # only a word with digits can tell addresses apart
    else:
        regular = world.those(("e-mail", *words), lambda contact_id: _has(f"contact{contact_id}@example.com", words))
    others = world.profile.details.having(lambda data: _has(data, words)) & indexed
    return (
        ((regular & indexed) - special - about.no_email)
        | others
        | BitMap(contact_id for contact_id in special if _has(about.emails[contact_id], words))
    )


def _by_custom_fields(world: World, words: list[str]) -> Iterable[int]:
    return world.attributes.custom_fields.having(lambda value: _has(value, words))


def _by_history(world: World, words: list[str]) -> Iterator[int]:
    for contact_id, texts in world.attributes.events.items():
        yield from (contact_id for text in texts if _has(text, words))


def _has(document: str, words: Iterable[str]) -> bool:
    lower = document.lower()
    return all(word in lower for word in words)
