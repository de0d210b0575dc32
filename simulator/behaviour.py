"""How the simulated portal behaves: every switch that is not a fault, all changeable while it runs."""

from typing import Annotated, Any, Literal

import msgspec

NonNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]
#: How a portal edits its own contacts; see :mod:`simulator.editing`.
EditKind = Literal[
    "create",
    "delete",
    "tag",
    "untag",
    "set_stage",
    "set_type",
    "set_email",
    "remove_email",
    "set_created",
    "set_company",
]
Fraction = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Behaviour(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The switches of one portal. By default it is healthy and instant, and asks for its token."""

    #: Time of a call: ``base_ms + per_contact_ms * contacts`` for deletions, ``base_ms + write_ms`` for calls that
    #: create or change something, ``base_ms + read_per_contact_ms * contacts`` for everything else.
    base_ms: NonNegative = 0.0
    per_contact_ms: NonNegative = 0.0
    write_ms: NonNegative = 0.0
    read_per_contact_ms: NonNegative = 0.0
    #: Each call takes between ``1 - jitter`` and ``1 + jitter`` times its time.
    jitter: Fraction = 0.0
    #: The share of the time of a deletion or change after which it is committed. For a deletion the portal makes about
    #: 3n queries for n contacts, 2n of them after the commit.
    commit_at: Fraction = 0.4
    #: Calls worked on at the same time; further ones wait in a queue. 0 is unlimited.
    concurrency: Count = 0

    #: The most elements that an answer lists.
    page_limit: Annotated[int, msgspec.Meta(ge=1)] = 1000
    #: Offset of the portal's time zone. Its clock stays, so creation times keep their day and get another offset.
    utc_offset_minutes: Annotated[int, msgspec.Meta(gt=-1440, lt=1440)] = 0
    #: The most hits of each index of the text search; 0 for no limit.
    search_hit_limit: Count = 1000
    #: Keys of the elements: as on the wire, as published (``Id``), or as on one published page (``ID``).
    casing: Literal["camel", "pascal", "upper_id"] = "camel"
    #: Keys of the envelope around them.
    envelope_casing: Literal["camel", "pascal"] = "camel"
    #: Order of the elements in the answer to a deletion, for which the portal promises none.
    answer_order: Literal["id", "request", "shuffled"] = "id"
    #: Compress answers by the portal's rule: ``gzip`` is an untrimmed element of Accept-Encoding.
    gzip: bool = False
    #: Whether ``GET crm/contact/mail`` exists.
    bulk_look_up: bool = True
    #: Longest request line in bytes before 414: 16384 on nginx, 2048 on IIS.
    request_line_limit: Count = 16384
    #: Largest body in bytes before 413.
    body_limit: Count = 1 << 30

    #: Whether the account is an administrator of the CRM. If not, it cannot see what it creates as private, and cannot
    #: change what it creates as shared to be read, unless it is among those responsible.
    administrator: bool = True
    authentication_required: bool = True
    token: str = "simulator-token"  # noqa: S105 - the made-up credential of a made-up portal
    user_name: str = "admin@example.com"
    password: str = "simulator-password"  # noqa: S105 - as above
    second_factor: Literal["", "sms", "tfa"] = ""
    second_factor_code: str = "123456"
    #: One year unless an administrator chose otherwise.
    token_lifetime_s: NonNegative = 365 * 86400.0
    lockout_attempts: Count = 5
    lockout_window_s: NonNegative = 60.0
    lockout_block_s: NonNegative = 60.0

    #: 403, empty: the caller's address is not allowed.
    ip_restricted: bool = False
    #: 403, JSON: the account has no access to the CRM.
    module_denied: bool = False
    #: 402: empty if the server licence has lapsed, JSON if the tariff is unpaid.
    unpaid: Literal["", "licence", "tariff"] = ""
    #: 404, empty: the portal is unknown or suspended.
    suspended: bool = False
    #: 503, empty: the portal is being restored or moved.
    in_maintenance: bool = False

    #: Calls per second that the portal can take; 0 is unlimited. Its answers do not reveal it.
    capacity_calls_per_s: NonNegative = 0.0
    #: Over capacity: answer 429, or let the queue grow.
    capacity_mode: Literal["throttle", "slow"] = "throttle"
    #: Calls that may come back to back after a quiet period.
    capacity_burst: Annotated[int, msgspec.Meta(ge=1)] = 1
    #: Retry-After of those 429s in seconds; null sends none.
    capacity_retry_after_s: NonNegative | None = None
    #: The kinds of calls that count; ``*`` is all.
    capacity_calls: list[str] = msgspec.field(default_factory=lambda: ["*"])
    #: (seconds since start, calls per second) in ascending order: when the capacity changes on its own.
    capacity_changes: list[tuple[NonNegative, NonNegative]] = []

    #: Contacts that the portal edits by itself per second, as its other users would; 0 for none.
    edits_per_s: NonNegative = 0.0
    #: What it does to them, in equal parts.
    edit_kinds: list[EditKind] = msgspec.field(default_factory=lambda: ["create", "delete", "tag", "untag"])
    #: It edits contacts from this ID on (0: none of them), those of ``edit_ids``, and those created while it runs.
    edit_from_id: Count = 0
    edit_ids: list[Annotated[int, msgspec.Meta(ge=1)]] = []
    #: The tags that it gives and takes; by default all that there are.
    edit_tags: list[str] = []

    #: What a batch with a poisoned contact gets.
    poison_status: Literal[400, 500] = 500
    seed: int = 0

    def change(self, changes: dict[str, Any]) -> None:
        """Change some switches, or none if one of them is wrong.

        Raises:
            msgspec.ValidationError: an unknown name, a wrong type or a value out of range.
        """
        checked = msgspec.convert(msgspec.structs.asdict(self) | changes, Behaviour)
        for name in changes:
            setattr(self, name, getattr(checked, name))
