"""What is predicted for a contact, by its record: the same for plans and for selections."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from pyroaring import BitMap

from config.portal import Portal
from jobs.words.filters import tag_key
from jobs.words.verdicts import VerdictCode
from worker.portal_answers import Contact, Visible

BY_RIGHTS = {
    Visible.DELETABLE: VerdictCode.DELETABLE,
    Visible.READ_ONLY: VerdictCode.READ_ONLY,
    Visible.HAS_INVOICE: VerdictCode.HAS_INVOICE,
}
"""The verdict on a contact that nothing protects."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Predicts what would become of a portal's contacts.

    Args:
        portal: the portal's settings.
        protected: contact IDs that are never sent.
    """

    portal: Portal
    protected: BitMap
    _tags: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_tags", frozenset(map(tag_key, self.portal.protected_tags)))

    def of(self, contact: Contact) -> VerdictCode:
        """Return the verdict on a contact; what protects it comes before what the account may do with it."""
        if contact.id in self.protected:
            return VerdictCode.PROTECTED_LIST
        if self.has_protected_tag(contact):
            return VerdictCode.PROTECTED_TAG
        return BY_RIGHTS[contact.visible]

    def has_protected_tag(self, contact: Contact) -> bool:
        """Check whether one of its tags is among the portal's `protected_tags`."""
        return self.protects(contact.tags)

    def protects(self, tags: Iterable[str]) -> bool:
        """Check whether one of these tags is among the portal's `protected_tags`."""
        return bool(self._tags) and any(tag_key(tag) in self._tags for tag in tags)
