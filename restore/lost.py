"""What of a contact cannot be restored, as kinds; any number of them fit into one number of the ledger."""

from enum import IntFlag

from restore.record import Record


class Lost(IntFlag):
    """Kinds of data that a restored contact lacks. Stored in ledgers, so numbers are never reused."""

    #: Who created the contact: the account that restores it becomes its creator.
    CREATOR = 1 << 0
    INDUSTRY = 1 << 1
    CURRENCY = 1 << 2
    #: The contact type, such as Client or Supplier.
    TYPE = 1 << 3
    #: The tasks that it had; the portal deletes them with the contact.
    TASKS = 1 << 4
    #: The company that it belonged to, which is neither there nor restored.
    COMPANY = 1 << 5
    #: Persons of this company who were not deleted with it: the record does not say who they were.
    PERSONS = 1 << 6
    #: Phones, e-mail addresses, sites.
    DETAILS = 1 << 7
    ADDRESSES = 1 << 8
    TAGS = 1 << 9
    STAGE = 1 << 10
    CUSTOM_FIELDS = 1 << 11
    #: When it was created.
    CREATED = 1 << 12
    #: Who may see and change it.
    ACCESS = 1 << 13
    OPPORTUNITIES = 1 << 14
    #: That it was the main contact of an opportunity.
    MAIN_CONTACT = 1 << 15
    CASES = 1 << 16

    @property
    def words(self) -> list[str]:
        """The kinds as stable words, in a fixed order."""
        return [kind.name.lower() for kind in Lost if kind in self and kind.name]


NONE = Lost(0)


def always_lost(record: Record) -> Lost:
    """Return what no call of the portal can bring back of a contact.

    Files, photos, history, call records and the times of changes are not among them: a record does not tell whether the
    contact had any.
    """
    return (
        (Lost.CREATOR if record.has_creator else NONE)
        | (Lost.INDUSTRY if record.industry else NONE)
        | (Lost.CURRENCY if record.has_currency else NONE)
        | (Lost.TYPE if record.type_id else NONE)
        | (Lost.TASKS if record.task_count else NONE)
    )
