"""Which contacts exist, and what the portal lets this account do with each.

Everything is a compressed bitmap of contact IDs; there is no object per contact, so ten million take a few megabytes.
"""

from collections.abc import Callable, Iterable

from pyroaring import BitMap

from simulator.chance import seeded

#: The largest contact ID the portal can have (a signed 32-bit integer).
MAX_CONTACT_ID = 2**31 - 1

#: Either how many contacts (chosen by the seed) or exactly which ones.
Selection = int | Iterable[int]


class World:
    """The contacts of one portal as one account sees them.

    Args:
        contacts: N for the IDs 1..N, or the IDs themselves.
        read_only: contacts that the account can see but not edit.
        invoiced: contacts that are on an invoice and therefore cannot be deleted.
        invisible: contacts that exist but that the account cannot see.
        missing: IDs in ``contacts`` that do not exist after all.
        poisoned: contacts that make every batch that holds one fail as a whole.
        companies: the IDs that are companies; by default those with ``id % 5 == 3``.
        tagged: the IDs that have a tag, by its name.
        seed: decides which contacts a plain number picks. Numbers pick disjoint contacts.

    Raises:
        ValueError: more contacts were asked for than there are.
    """

    def __init__(
        self,
        contacts: Selection = 0,
        *,
        read_only: Selection = 0,
        invoiced: Selection = 0,
        invisible: Selection = 0,
        missing: Selection = 0,
        poisoned: Selection = 0,
        companies: Iterable[int] | None = None,
        tagged: dict[str, Iterable[int]] | None = None,
        seed: int = 0,
    ) -> None:
        everyone = _numbered(contacts) if isinstance(contacts, int) else BitMap(contacts)
        chosen = _choose(everyone, [read_only, invoiced, invisible, missing, poisoned], seed)
        self.read_only, self.invoiced, self.invisible, absent, self.poisoned = chosen
        self.companies = None if companies is None else BitMap(companies)
        self.tagged = {name: BitMap(ids) for name, ids in (tagged or {}).items()}
        self.existed = everyone - absent
        self.alive = self.existed.copy()
        self._those: dict[object, BitMap] = {}
        self.deletable = BitMap()
        self.settle()

    def settle(self) -> None:
        """Recompute what can be deleted; necessary after changing the sets by hand."""
        self.deletable = self.alive - self.invisible - self.read_only - self.invoiced

    def is_company(self, contact_id: int) -> bool:
        """Check whether the contact is a company rather than a person."""
        return contact_id % 5 == 3 if self.companies is None else contact_id in self.companies

    def visible(self, contact_ids: BitMap | None = None) -> BitMap:
        """Return those of the IDs (or of all) that exist and that the account can see."""
        present = self.alive if contact_ids is None else contact_ids & self.alive
        return present - self.invisible

    def those(self, name: object, keep: Callable[[int], bool]) -> BitMap:
        """Return the contacts with a property that follows from their ID.

        Testing ten million contacts takes seconds, so the result is cached by name; some of them may be gone by now.
        """
        if name not in self._those:
            self._those[name] = BitMap(filter(keep, self.alive))
        return self._those[name]

    def can_edit(self, contact_id: int) -> bool:
        """Check whether the account may edit the contact."""
        return contact_id in self.alive and contact_id not in self.invisible and contact_id not in self.read_only

    def can_delete(self, contact_id: int) -> bool:
        """Check whether the account may delete the contact: it can be edited and is not on an invoice."""
        return contact_id in self.deletable

    def eligible(self, contact_ids: BitMap) -> BitMap:
        """Return those of the IDs that a deletion would delete; it silently skips the others."""
        return contact_ids & self.deletable

    def delete(self, contact_ids: BitMap) -> BitMap:
        """Delete the contacts, whatever protects them, and return those that were still there."""
        gone = contact_ids & self.alive
        self.alive -= gone
        self.deletable -= gone
        return gone

    def create(self, contact_ids: Iterable[int]) -> None:
        """Create contacts with these IDs."""
        self.alive |= BitMap(contact_ids)
        self._those.clear()
        self.settle()


def _numbered(count: int) -> BitMap:
    numbered = BitMap()
    numbered.add_range(1, count + 1)
    numbered.run_optimize()
    return numbered


def _choose(everyone: BitMap, selections: list[Selection], seed: int) -> list[BitMap]:
    """Turn every selection into IDs; those picked for a number are disjoint from all others."""
    explicit = [BitMap() if isinstance(selection, int) else BitMap(selection) for selection in selections]
    free = everyone - BitMap.union(BitMap(), *explicit)
    wanted = [selection if isinstance(selection, int) else 0 for selection in selections]
    if sum(wanted) > len(free):
        raise ValueError(f"cannot pick {sum(wanted)} contacts: only {len(free)} are left to pick from")
    picked = iter(seeded("world", seed).sample(range(len(free)), sum(wanted)))
    return [
        given or BitMap(free[next(picked)] for _ in range(count)) for given, count in zip(explicit, wanted, strict=True)
    ]
