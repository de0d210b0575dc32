"""The calls that create contacts and give them what they had: one call is one HTTP request, as in `PortalClient`."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from config.portal import Portal
from worker import wire
from worker.envelope import NotAnEnvelopeError, lower, read_error, read_fields
from worker.exchange import MaySend
from worker.failure_table import HRESULT_SECURITY
from worker.portal_answers import Body, Failure
from worker.portal_client import PortalClient
from worker.token_store import TokenStore

#: What the API answers to a call that creates something, and to any other.
_SUCCESS = frozenset({200, 201})
#: The statuses with which the API refuses one request, rather than all that we could send.
_REFUSALS = frozenset({400, 404})


@dataclass(frozen=True, slots=True)
class Said:
    """A valid answer.

    Attributes:
        response: what the envelope holds: an object or a list of objects, as on the wire; None if it holds nothing.
    """

    response: Any


@dataclass(frozen=True, slots=True)
class Refusal:
    """The portal refused this one request: a value is wrong, or what it is about does not exist or is not ours.

    A request that creates a contact can be refused after the contact was created.
    """

    http_status: int
    message: str


class CreatingClient(PortalClient):
    """A portal's API as restoring contacts needs it; arguments are those of `PortalClient`.

    Records are exchanged in JSON, whatever format the portal's settings prefer for deletions.
    """

    def __init__(self, portal: Portal, tokens: TokenStore, pace: Callable[[], Awaitable[None]]) -> None:
        super().__init__(portal.model_copy(update={"answer_format": "json"}), tokens, pace)

    async def change(
        self, method: str, target: str, body: Mapping[str, Any], *, may_send: MaySend
    ) -> Said | Refusal | Failure:
        """Send a call that changes something.

        Args:
            method: POST or PUT.
            target: path below the base address.
            body: its parameters.
            may_send: as for `delete`.

        Returns:
            The portal's answer. Of a failure, `may_have_deleted` says whether the call may have taken effect, and
            `settle_s` how long the portal may still be at it.
        """
        return await self._exchange_json(method, target, msgspec.json.encode(body), may_send, changing=True)

    async def read(self, target: str, *, may_send: MaySend) -> Said | Refusal | Failure:
        """Send a call that only reads; arguments are those of `change`."""
        return await self._exchange_json("GET", target, None, may_send, changing=False)

    async def newest(self, start_index: int, count: int, *, may_send: MaySend) -> Said | Refusal | Failure:
        """Ask for contacts in descending order of contact ID.

        Args:
            start_index: how many of the newest contacts come before them.
            count: how many, 1 to 1000.
            may_send: as for `delete`.
        """
        order = "sortBy=id&sortOrder=descending"
        target = f"{wire.API}/crm/contact/filter?{order}&count={count}&startIndex={start_index}"
        return await self.read(target, may_send=may_send)

    async def _exchange_json(
        self, method: str, target: str, body: bytes | None, may_send: MaySend, *, changing: bool
    ) -> Said | Refusal | Failure:
        answer = await self._call(method, target, body, may_send=may_send, deleting=changing)
        if isinstance(answer, Failure):
            return answer
        if answer.status in _SUCCESS:
            try:
                fields = read_fields(answer.body)
                if fields.get("status") == 0 and fields.get("statuscode", answer.status) in _SUCCESS:
                    self._strange_answers = 0
                    return Said(fields.get("response"))
            except NotAnEnvelopeError:
                pass
            return self._failed(answer, deleting=changing)
        error = read_error(answer.body)
        refused = answer.status in _REFUSALS or (answer.status == 403 and error.hresult == HRESULT_SECURITY)
        if refused and error.kind is Body.API_ERROR:
            return Refusal(answer.status, error.message)
        return self._failed(answer, deleting=changing, error=error)


def objects(said: Said) -> list[dict[str, Any]] | None:
    """Return the objects of an answer, with keys in lower case; None if it does not hold a list of objects."""
    if not isinstance(said.response, list):
        return None
    try:
        return [lower(item) for item in said.response]
    except NotAnEnvelopeError:
        return None


def id_of(said: Said) -> int | None:
    """Return the ID of the object that an answer holds; None if it holds none."""
    try:
        number = lower(said.response).get("id")
    except NotAnEnvelopeError:
        return None
    return number if type(number) is int and 1 <= number <= wire.MAX_CONTACT_ID else None
