"""A text that some contacts have: whole groups of contacts with the same one, and what was set for single contacts."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from pyroaring import BitMap


class Valued:
    """One text attribute.

    Args:
        single: the texts of single contacts; they count before those of a group.
        groups: the contacts that share a text, by the text; a contact is in one of them at most.
    """

    def __init__(
        self, single: Mapping[int, str] | None = None, groups: Mapping[str, Iterable[int]] | None = None
    ) -> None:
        self._single = dict(single or {})
        self._groups = {text: BitMap(ids) for text, ids in (groups or {}).items()}

    def __bool__(self) -> bool:
        """Return whether any contact can have a text."""
        return bool(self._single or self._groups)

    def of(self, contact_id: int) -> str | None:
        """Return the contact's text, or None if it has none."""
        if contact_id in self._single:
            return self._single[contact_id]
        return next((text for text, ids in self._groups.items() if contact_id in ids), None)

    def ids(self) -> BitMap:
        """Return the contacts that have a text; some of them may be gone."""
        return BitMap.union(BitMap(self._single), *self._groups.values())

    def having(self, fits: Callable[[str], bool]) -> BitMap:
        """Return the contacts with a text that fits; some of them may be gone."""
        grouped = BitMap.union(BitMap(), *(ids for text, ids in self._groups.items() if fits(text)))
        return (grouped - BitMap(self._single)) | BitMap(
            contact_id for contact_id, text in self._single.items() if fits(text)
        )

    def set(self, contact_id: int, text: str | None) -> None:
        """Give the contact a text, or take it away."""
        self.forget(BitMap([contact_id]))
        if text is not None:
            self._single[contact_id] = text

    def share(self, text: str, contact_ids: Iterable[int]) -> None:
        """Give the contacts one and the same text; none of them may have one yet."""
        self._groups.setdefault(text, BitMap()).update(contact_ids)

    def forget(self, contact_ids: BitMap) -> None:
        """Take the texts of the contacts away."""
        for ids in self._groups.values():
            ids.difference_update(contact_ids)
        drop(self._single, contact_ids)


def drop(values: dict[int, Any], contact_ids: BitMap) -> None:
    """Remove what a table has about the contacts, in a time that depends on the smaller of the two."""
    if len(contact_ids) <= len(values):
        for contact_id in contact_ids:
            values.pop(contact_id, None)
    else:
        for contact_id in [known for known in values if known in contact_ids]:
            del values[contact_id]
