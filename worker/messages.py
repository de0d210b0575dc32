"""How the worker reads arq's queue: arguments from other services stay unread until they are validated.

arq's main loop dies of a message whose parts are not of the types that it expects, and forgets one that it cannot read.
So arq gets only what is well formed; everything else goes to `delete_contacts`, which reports what was wrong.
"""

import re
from typing import Any

import msgspec

from jobs.arq_messages.message import FUNCTION, UnreadableMessage, open_envelope

#: A request larger than this is not opened here, in the event loop: for 500 MB that alone takes a second, during which
#: no lane can renew its lease.
_LARGE = 16 * 1024 * 1024

#: How such a request begins and ends as arq writes it; that many bytes are looked at.
_REQUEST = re.compile(rb'\s*\{[^\[{]*"f"\s*:\s*"%b"' % FUNCTION.encode())
_ENQUEUED = re.compile(rb'"et"\s*:\s*(\d{1,13})\s*\}\s*$')
_HEAD = 256


class Message:
    """A request as it was in Redis, whatever it holds.

    Its representation is short in arq's log and in arq's result, which would otherwise hold a second copy of the list
    for a day.
    """

    def __init__(self, data: bytes) -> None:
        self.data = data

    def __repr__(self) -> str:
        return f"<{len(self.data):,} bytes>"


def read_message(data: bytes) -> dict[str, Any]:
    """Read a message for arq. Nothing in it is executed, and no content makes this fail.

    Returns:
        The parts of a message under arq's names; a request, or what cannot be read, is one argument of
        `delete_contacts`, a `Message`.
    """
    if len(data) > _LARGE and _REQUEST.match(data[:_HEAD]):
        enqueued = _ENQUEUED.search(data[-_HEAD:])
        return _parts(FUNCTION, [Message(data)], {}, int(enqueued[1]) if enqueued else 0)
    try:
        envelope = open_envelope(data)
        if envelope.function != FUNCTION:
            args = msgspec.json.decode(envelope.args, type=list[Any])
            kwargs = msgspec.json.decode(envelope.kwargs, type=dict[str, Any])
            return _parts(envelope.function, args, kwargs, envelope.enqueued_ms)
        enqueued_ms = envelope.enqueued_ms
    except (UnreadableMessage, msgspec.MsgspecError, RecursionError):
        enqueued_ms = 0
    return _parts(FUNCTION, [Message(data)], {}, enqueued_ms)


def _parts(function: str, args: list[Any], kwargs: dict[str, Any], enqueued_ms: int) -> dict[str, Any]:
    # "t" is an initial number of tries, which our functions do not need.
    return {"f": function, "a": args, "k": kwargs, "t": None, "et": enqueued_ms}
