"""The possible results of a call to the portal, as plain values.

- Deleted: the portal's word on a PUT, per contact ID
- LookedUp: what the account can see of the contact IDs that were asked about
- Page: a page of the portal's listing
- Details, Tags: what the portal tells about a single contact
- LinkPage: a page of the listing of opportunities or cases
- Failure: anything else, with what to do about it; Body, the kind of body that came with it
"""

from collections.abc import Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

import msgspec


class Body(StrEnum):
    """The kind of body that came with a status."""

    API_ERROR = "API error"  #: the API's own error envelope, JSON or XML
    HTML = "HTML"  #: a page of a proxy or of another site
    EMPTY = "empty"
    TEXT = "other text"  #: anything else, including JSON that is not the API's


class Visible(StrEnum):
    """What a look-up says of a contact that the account can see."""

    #: canEdit and canDelete: it can be sent (again).
    DELETABLE = "deletable"
    #: not canEdit: the account has no right to change it, and so none to delete it.
    READ_ONLY = "read_only"
    #: canEdit but not canDelete: the contact is on an invoice, whatever the invoice's status.
    HAS_INVOICE = "has_invoice"

    @classmethod
    def of(cls, can_edit: bool, can_delete: bool) -> "Visible":
        """Return what the portal's two flags mean together."""
        if not can_edit:
            return cls.READ_ONLY
        return cls.DELETABLE if can_delete else cls.HAS_INVOICE


class AllOf(AbstractSet[int]):
    """All contact IDs of a list, as a set that is built only when a single one is asked for.

    Nearly every answer lists everything that was sent; building a set each time would cost more than comparing.

    Args:
        contact_ids: without duplicates.
    """

    __slots__ = ("_contact_ids", "_members")

    def __init__(self, contact_ids: Iterable[int]) -> None:
        self._contact_ids = list(contact_ids)
        self._members: frozenset[int] | None = None

    def __len__(self) -> int:
        return len(self._contact_ids)

    def __iter__(self) -> Iterator[int]:
        return iter(self._contact_ids)

    def __contains__(self, contact_id: object) -> bool:
        if self._members is None:
            self._members = frozenset(self._contact_ids)
        return contact_id in self._members

    def __repr__(self) -> str:
        return f"AllOf({self._contact_ids})"


@dataclass(frozen=True, slots=True)
class Deleted:
    """A valid answer to a PUT.

    What was sent and is not listed was skipped by the portal, which gives no reason; look it up.
    """

    #: Contact IDs that the portal says it deleted; always a subset of those sent.
    listed: AbstractSet[int]
    #: True when the answer's own counts show that more may have been deleted than it lists: an unlisted contact ID that
    #: turns out to be gone is then *presumed deleted*, not *not found*.
    unlisted_doubtful: bool
    http_status: int


@dataclass(frozen=True, slots=True)
class LookedUp:
    """A valid and complete answer to a look-up.

    A contact ID in `asked` that is not in `visible` does not exist for the account.
    """

    visible: dict[int, Visible]
    #: The contact IDs that this call really asked about: a prefix of those passed in, because a request line is finite.
    asked: Sequence[int]
    http_status: int


class Contact(msgspec.Struct, frozen=True, gc=False):
    """What the listing tells about one contact, as far as it matters here."""

    id: int
    display_name: str
    is_company: bool
    can_edit: bool
    can_delete: bool
    tags: tuple[str, ...]
    created: str
    """When it was created, as on the wire: begins with the day in the portal's time zone, `2024-01-31T…`."""
    has_email: bool
    persons_count: int = 0
    """Persons that belong to this company; 0 for a person."""
    has_company: bool = False
    """Whether this person belongs to a company."""

    @property
    def visible(self) -> Visible:
        """What the account may do with it."""
        return Visible.of(self.can_edit, self.can_delete)


class Page(msgspec.Struct, frozen=True):
    """One page of the listing, with the counts of its envelope as they are; 0 where there is none."""

    contacts: tuple[Contact, ...]
    count: int = 0
    total: int = 0
    start_index: int = 0
    next_index: int = 0
    http_status: int = 200
    records: tuple[bytes, ...] = ()
    """Each contact as the portal wrote it, in the same order; none unless they were asked for."""

    @property
    def complete(self) -> bool:
        """Whether it lists as many contacts as it counts."""
        return self.count == len(self.contacts)

    @property
    def ascending(self) -> bool:
        """Whether its contact IDs are strictly ascending, and so none is there twice."""
        return all(before.id < after.id for before, after in zip(self.contacts, self.contacts[1:], strict=False))


@dataclass(frozen=True, slots=True)
class Details:
    """A valid answer about one contact."""

    #: None if the account cannot see it. It has no tags: see `Tags`.
    contact: Contact | None
    http_status: int
    #: The contact as the portal wrote it; empty unless that was asked for, or if there is none.
    record: bytes = b""


@dataclass(frozen=True, slots=True)
class Tags:
    """A valid answer about the tags of one contact; none if the account cannot see it."""

    tags: tuple[str, ...]
    http_status: int


class Link(msgspec.Struct, frozen=True, gc=False):
    """An opportunity or a case, and who takes part in it."""

    id: int
    title: str
    members: tuple[int, ...] = ()
    main: int = 0
    """The main contact of an opportunity; 0 for none."""


class LinkPage(msgspec.Struct, frozen=True):
    """One page of opportunities or cases, with the counts of its envelope as they are; 0 where there is none."""

    links: tuple[Link, ...]
    count: int = 0
    total: int = 0
    start_index: int = 0
    next_index: int = 0
    http_status: int = 200


class Remedy(StrEnum):
    """What to do after a failure."""

    #: Try again later with backoff; counts as an attempt.
    RETRY = "retry"
    #: The portal asks for less: move its next turn, cut the rate. Costs no attempt.
    SLOW_DOWN = "slow_down"
    #: We wait on our own account, not because of the portal. Costs no attempt, and the rate is not cut.
    WAIT = "wait"
    #: Some of these contact IDs cause it: halve the set until they are found.
    SPLIT = "split"
    #: Nothing more can be done for these contact IDs.
    GIVE_UP = "give_up"
    #: A fault of the portal, the address or the account: pause the job, a person must act.
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Failure:
    """A call without a valid answer."""

    action: Remedy
    #: False only where it is certain that the portal deleted nothing. True: read the contact IDs back first.
    may_have_deleted: bool
    #: A stable word. For contact IDs: rejected, portal_error, timeout, answer_garbled, connection_lost, …; for a job's
    #: state: portal_auth, portal_payment, portal_forbidden, portal_proxy, portal_protocol, portal_unreachable,
    #: rate_limit, push_back, login_guard.
    reason: str
    #: The status of the answer; None when there was none.
    http_status: int | None
    #: For a person: what happened and, where a person must act, what to do. Never holds a secret or an address.
    message: str
    #: How long to stay away, in seconds, 0 to a year: the portal's wish, or with WAIT our own; None if there is none.
    retry_after_s: float | None = None
    #: The request was too large or took too long: make the batches smaller.
    shrink: bool = False
    #: How long the portal may still be working on the request, in seconds: wait this long before reading back.
    settle_s: float = 0.0
    #: False where the request itself never left: no connection, or no log-in before it. That was no attempt.
    sent: bool = True
    #: With STOP: another configuration would not help, so no worker calls the portal until a person has looked at it.
    everyone: bool = False


Answer: TypeAlias = Deleted | LookedUp | Page | Details | Tags | LinkPage | Failure
