"""What a full record tells besides the attributes: job, industry, currency, access, authors, details."""

from collections.abc import Iterable, Mapping

from pyroaring import BitMap

from simulator.details import EMAIL, Details, Info
from simulator.users import IMPORTER
from simulator.valued import Valued, drop

#: Number on the wire of a contact's access: for its managers alone, for everybody, for everybody to read.
PRIVATE, SHARED, SHARED_TO_READ = range(3)


class Profile:
    """The rest of what contacts are like.

    Args:
        private: contacts that only those who are responsible for them can see, and administrators.
        shared_to_read: contacts that everybody can see but only those edit.
        industries: the contacts of an industry, by its name.
        currencies: the contacts with a currency, by its abbreviation.
        details: details of single contacts besides an e-mail address.
    """

    def __init__(
        self,
        *,
        private: Iterable[int] = (),
        shared_to_read: Iterable[int] = (),
        industries: Mapping[str, Iterable[int]] | None = None,
        currencies: Mapping[str, Iterable[int]] | None = None,
        details: Mapping[int, Iterable[Info]] | None = None,
    ) -> None:
        self.private, self.shared_to_read = BitMap(private), BitMap(shared_to_read)
        self.industries, self.currencies = Valued(groups=industries), Valued(groups=currencies)
        self.titles, self.creators = Valued(), Valued()
        self.details = Details(details)
        #: Last changes in seconds from the start of the portal's calendar, where they are not the creation.
        self.modified: dict[int, int] = {}

    def share_type(self, contact_id: int) -> int:
        """Return who has access to the contact."""
        if contact_id in self.private:
            return PRIVATE
        return SHARED_TO_READ if contact_id in self.shared_to_read else SHARED

    def set_share_type(self, contact_id: int, share_type: int) -> None:
        """Say who has access to the contact."""
        for number, ids in ((PRIVATE, self.private), (SHARED_TO_READ, self.shared_to_read)):
            (ids.add if number == share_type else ids.discard)(contact_id)

    def creator(self, contact_id: int) -> str:
        """Return the user who created the contact."""
        return self.creators.of(contact_id) or IMPORTER

    def has_other_email(self, contact_id: int) -> bool:
        """Check whether the contact has an e-mail address among its other details."""
        return any(info.kind == EMAIL for info in self.details.of(contact_id))

    def forget(self, contact_ids: BitMap) -> None:
        """Drop whatever there is about these contacts, because their IDs are used again."""
        self.private.difference_update(contact_ids)
        self.shared_to_read.difference_update(contact_ids)
        for texts in (self.industries, self.currencies, self.titles, self.creators):
            texts.forget(contact_ids)
        self.details.forget(contact_ids)
        drop(self.modified, contact_ids)
