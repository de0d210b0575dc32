"""What another service asks for with plain arq, read and validated. Pure functions, without any I/O.

Reading never fails. It returns what could be read, for users who look at a job before a worker takes it, and everything
that is wrong, for the worker that has to refuse it.
"""

from array import array
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import msgspec
from pyroaring import BitMap

from config.fields import NAME_PATTERN
from jobs.arq_messages.message import UnreadableMessage, open_envelope
from jobs.intake.tally import printable
from jobs.words.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID
from jobs.words.errors import BadFilter, BadSubmission
from jobs.words.filters import Filter
from jobs.words.labels import check_label
from jobs.words.priority import Priority

_NAMES = ("portal", "contact_ids", "filter", "plan", "undo", "label", "priority")

#: The list is read in parts of about this size, so that its integers are never all in memory together.
_PART_BYTES = 500_000

_PORTAL = "the name of a configured portal"
_LIST = "a list of contact IDs"
_CONTACT_ID = f"an integer from {MIN_CONTACT_ID} to {MAX_CONTACT_ID}"
_CALL = f"keyword arguments: {', '.join(_NAMES)}"

_ContactId: TypeAlias = Annotated[int, msgspec.Meta(ge=MIN_CONTACT_ID, le=MAX_CONTACT_ID)]
_contact_id = msgspec.json.Decoder(_ContactId).decode
_contact_ids = msgspec.json.Decoder(list[_ContactId]).decode
_values = msgspec.json.Decoder(list[msgspec.Raw]).decode

#: What reading JSON raises; the latter for brackets nested without end.
_NOT_THAT = (msgspec.MsgspecError, RecursionError)


@dataclass(slots=True)
class Request:
    """A request as far as it can be read.

    Attributes:
        function: the arq function that is called; empty if the message cannot be read at all.
        portal: the portal asked for; empty if that cannot be a portal's name.
        ids: the contact IDs, including those of a list that is wrong in places.
        duplicates: how many contact IDs of the list were repetitions.
        filter: the filter that chooses the contacts, in place of a list.
        plan: whether a plan is made first.
        undo: whether records are to be kept; None leaves it to the portal.
        label: free text; empty if there is none, or none that is valid.
        priority: how often the job gets a turn.
        enqueued_ms: when it was enqueued, Unix milliseconds; 0 if that cannot be read.
        problems: everything that is wrong, each with what was given and what was expected. If there are none, the
            request can be accepted, provided that the portal is configured.
    """

    function: str = ""
    portal: str = ""
    ids: BitMap = field(default_factory=BitMap)
    duplicates: int = 0
    filter: Filter | None = None
    plan: bool = False
    undo: bool | None = None
    label: str = ""
    priority: Priority = Priority.NORMAL
    enqueued_ms: int = 0
    problems: list[str] = field(default_factory=list)


def read_request(data: bytes) -> Request:
    """Read a message for `delete_contacts`.

    Takes 0.05 s for a million neighbouring contact IDs, about a second for a million scattered over the whole range,
    and little memory besides the message.

    Args:
        data: the message, from `arq:job:{id}`.
    """
    request = Request()
    try:
        envelope = open_envelope(data)
    except UnreadableMessage as error:
        request.problems.append(str(error))
        return request
    request.function, request.enqueued_ms = envelope.function, envelope.enqueued_ms
    if not _is_empty_list(envelope.args):
        request.problems.append(f"given positional arguments, expected {_CALL}")
    try:
        arguments = msgspec.json.decode(envelope.kwargs, type=dict[str, msgspec.Raw])
    except _NOT_THAT:
        request.problems.append(f"given {printable(bytes(envelope.kwargs))}, expected {_CALL}")
        return request
    _read_arguments(request, {name: bytes(value) for name, value in arguments.items()})
    return request


def _is_empty_list(raw: msgspec.Raw) -> bool:
    try:
        return not _values(raw)
    except _NOT_THAT:
        return False


def _read_arguments(request: Request, arguments: dict[str, bytes]) -> None:
    problems = request.problems
    unknown = sorted(arguments.keys() - set(_NAMES))
    if unknown:
        problems.append(f"unknown argument {printable(unknown[0].encode())}, expected {', '.join(_NAMES)}")
    portal = _read(arguments, "portal", Annotated[str, msgspec.Meta(pattern=NAME_PATTERN)], _PORTAL, problems)
    request.portal = portal or ""
    if "filter" in arguments:
        _read_filter(request, arguments)
    else:
        _read_ids(request, arguments.get("contact_ids"))
    request.plan = bool(_read(arguments, "plan", bool | None, "true or false", problems, missing=None))
    request.undo = _read(arguments, "undo", bool | None, "true or false", problems, missing=None)
    label = _read(arguments, "label", str | None, "a text", problems, missing=None)
    try:
        request.label = check_label(label or "")
    except BadSubmission as error:
        problems.append(str(error))
    expected = f"one of {', '.join(Priority)}"
    priority = _read(arguments, "priority", Priority | None, expected, problems, missing=None)
    request.priority = priority or Priority.NORMAL


def _read(
    arguments: dict[str, bytes], name: str, kind: Any, expected: str, problems: list[str], **missing: None
) -> Any | None:
    """Read one argument; note what is wrong with it."""
    if name not in arguments:
        if not missing:
            problems.append(f"{name}: given nothing, expected {expected}")
        return None
    try:
        return msgspec.json.decode(arguments[name], type=kind)
    except _NOT_THAT:
        problems.append(f"{name}: given {printable(arguments[name])}, expected {expected}")
        return None


def _read_filter(request: Request, arguments: dict[str, bytes]) -> None:
    if "contact_ids" in arguments:
        request.problems.append("filter: given together with contact_ids, expected one of them")
    try:
        request.filter = Filter.from_json(arguments["filter"])
    except BadFilter as error:
        request.problems.append(f"filter: {error}")


def _read_ids(request: Request, given: bytes | None) -> None:
    text = (given or b"").strip(b" \t\r\n")
    if not text.startswith(b"["):
        request.problems.append(f"contact_ids: given {printable(text) if text else 'nothing'}, expected {_LIST}")
        return
    index, problem = 0, ""
    start, end = 1, len(text) - 1
    while start < end:
        cut = text.find(b",", start + _PART_BYTES)
        cut = end if cut < 0 else cut
        part = text[start:cut]
        start = cut + 1
        try:
            ids = _contact_ids(b"[%b]" % part)
            seen = len(ids)
        except _NOT_THAT:
            ids, seen, bad = _sort_out(part, index)
            problem = problem or bad
        index += seen
        before = len(request.ids)
        request.ids.update(array("I", ids))
        request.duplicates += len(ids) - (len(request.ids) - before)
    if problem:
        request.problems.append(problem)
    elif not index:
        request.problems.append(f"contact_ids: the list has no contact IDs, expected {_LIST}")


def _sort_out(part: bytes, index: int) -> tuple[list[int], int, str]:
    """Read a part of the list that does not consist of contact IDs alone.

    Args:
        part: values separated by commas; cut in the middle of a value if that is a list or a text with a comma in it.
        index: index of the part's first value in the list.

    Returns:
        The contact IDs among the values, how many values there are, and what is wrong with the first of the others.
    """
    try:
        values = _values(b"[%b]" % part)
    except _NOT_THAT:
        return [], 1, f"contact_ids[{index}]: given {printable(part)}, expected {_CONTACT_ID}"
    ids, problem = [], ""
    for place, value in enumerate(values, index):
        try:
            ids.append(_contact_id(value))
        except _NOT_THAT:
            problem = problem or f"contact_ids[{place}]: given {printable(bytes(value))}, expected {_CONTACT_ID}"
    return ids, len(values), problem
