"""Talks to one portal: one call is one HTTP request (and a log-in if needed) and returns one value.

Knows nothing of jobs, pacing or retries, and raises nothing that a portal could cause.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from urllib.parse import urlsplit

import msgspec

from config.portal import Portal
from jobs.words.filters import Filter
from jobs.words.reasons import StateReason
from worker import wire
from worker.envelope import ErrorBody, NotAnEnvelopeError, Rights, read_error, read_ids, read_right, read_rights
from worker.exchange import CancelledUnsent, MayNotSend, MaySend, RawAnswer, always
from worker.failure_table import Flaw
from worker.failures import decide_flaw, decide_status
from worker.first_cut import first_cut
from worker.links import Kind, read_links
from worker.login import Credentials, LogIn, StaticToken
from worker.portal_answers import AllOf, Body, Deleted, Details, Failure, LinkPage, LookedUp, Page, Remedy, Tags
from worker.records import read_contact, read_page, read_raw, read_tags
from worker.token_store import TokenStore
from worker.traced_exchange import exchange_for

#: This many answers of status 200 in a row that are not the API's mean a wrong address, not a gateway's hiccup.
MAX_STRANGE_ANSWERS = 3
#: Timeout of a log-in, which takes the portal only a moment.
LOGIN_TIMEOUT_S = 30.0


#: If a log-in has delayed the call for longer than this, its turn is no longer valid.
_STALE_TURN_S = 0.1


class NoTurn(Exception):
    """The portal accepts no calls for longer than a lane should wait with a batch in hand."""


_NO_TURN = Failure(
    action=Remedy.GIVE_UP,
    may_have_deleted=False,
    reason=StateReason.PUSH_BACK,
    http_status=None,
    message="a new log-in was needed while the portal accepted no calls; the batch goes back to wait",
    sent=False,
)


#: The result of a call that was never made, through no fault of the portal: no attempt, no doubt, no need to spare it.
NOT_SENT = Failure(
    action=Remedy.GIVE_UP,
    may_have_deleted=False,
    reason="timeout",
    http_status=None,
    message="when the call could at last be sent, it was no longer the worker's to send; nothing was sent",
    sent=False,
)


class PortalClient:
    """One portal's API as a worker needs it; can make any number of calls at a time.

    Args:
        portal: its settings.
        tokens: what the workers share about logging in; not used if the portal has a token.
        pace: awaited before each further request of a call: a log-in, and the call sent again after it. The caller
            paces the first request. Raises `NoTurn` if waiting would take too long; the call then was not an attempt.

    All calls raise what redis-py raises if `tokens` cannot be reached; the portal has executed nothing in that case. A
    call that is cancelled raises `CancelledUnsent` if the portal has nothing of it that it could execute.
    """

    def __init__(self, portal: Portal, tokens: TokenStore, pace: Callable[[], Awaitable[None]]) -> None:
        self._pace = pace
        self._format = wire.Format(portal.answer_format)
        self._exchange = exchange_for(portal)
        self._credentials: Credentials = (
            StaticToken(portal) if portal.token is not None else LogIn(portal, tokens, self._post_login, pace)
        )
        # The base address may end in a path, which is part of the request target.
        self._base_path_chars = len(urlsplit(portal.url).path)
        self._look_up_max_chars = portal.lookup_url_max_chars
        self._bulk_look_up = True
        self._strange_answers = 0

    async def delete(self, contact_ids: Sequence[int], *, may_send: MaySend = always) -> Deleted | Failure:
        """Ask the portal to delete these contacts, with one PUT.

        Args:
            contact_ids: 1 to 1000 of them, each from 1 to 2147483647; ascending order is the cheapest.
            may_send: asked right before the request leaves, which can be long after the call if a log-in comes first;
                if it returns False, nothing is sent and the result is `NOT_SENT`.

        Raises:
            ValueError: the contact IDs are not such a list; nothing was sent.
        """
        ids = wire.checked(contact_ids)
        body = wire.delete_body(self._format, ids)
        answer = await self._call("PUT", self._format.delete_target, body, may_send=may_send, deleting=True)
        if isinstance(answer, Failure):
            return answer
        if answer.status != 200:
            return self._failed(answer, deleting=True)
        try:
            listing = read_ids(answer.body)
        except NotAnEnvelopeError:
            return self._failed(answer, deleting=True)
        self._strange_answers = 0
        if listing.ids == ids:  # all of them, in the order in which they were sent, as usual
            return Deleted(AllOf(ids), unlisted_doubtful=not listing.complete, http_status=200)
        listed = frozenset(listing.ids)
        if not listed.issubset(ids):
            return self._flaw(Flaw.FOREIGN_ID, answer, deleting=True)
        # A contact that is listed twice may be there in place of another one.
        complete = listing.complete and len(listed) == len(listing.ids)
        return Deleted(listed, unlisted_doubtful=not complete, http_status=200)

    async def look_up(self, contact_ids: Sequence[int], *, may_send: MaySend = always) -> LookedUp | Failure:
        """Ask which of these contacts the account can see, and what it may do with them.

        Args:
            contact_ids: as for `delete`; only the first `look_up_capacity` of them are asked about.
            may_send: as for `delete`.

        Raises:
            ValueError: the contact IDs are not such a list; nothing was sent.
        """
        asked = wire.checked(contact_ids[: self.look_up_capacity(contact_ids)])
        bulk = self._bulk_look_up
        target = self._format.look_up_target(asked) if bulk else self._format.single_target(asked[0])
        answer = await self._call("GET", target, may_send=may_send)
        if isinstance(answer, Failure):
            return answer
        if answer.status != 200:
            return self._not_looked_up(answer, asked, bulk=bulk, target_chars=self._base_path_chars + len(target))
        try:
            rights: Rights = read_rights(answer.body) if bulk else read_right(answer.body)
        except NotAnEnvelopeError:
            return self._failed(answer, deleting=False)
        self._strange_answers = 0
        if not rights.visible.keys() <= set(asked):
            return self._flaw(Flaw.FOREIGN_ID, answer, deleting=False)
        if not rights.complete:
            return self._flaw(Flaw.INCOMPLETE, answer, deleting=False)
        return LookedUp(rights.visible, asked, answer.status)

    async def read_details(
        self, contact_id: int, *, may_send: MaySend = always, with_record: bool = False
    ) -> Details | Failure:
        """Read the record of one contact, without its tags.

        Args:
            contact_id: 1 to 2147483647.
            may_send: as for `delete`.
            with_record: whether the record is returned as the portal wrote it, too; only in JSON.
        """
        answer = await self._call("GET", self._format.details_target(contact_id), may_send=may_send)
        if isinstance(answer, Failure):
            return answer
        error = None if answer.status == 200 else read_error(answer.body)
        if answer.status == 404 and error and error.kind is Body.API_ERROR:
            return Details(None, 404)
        if answer.status == 200:
            try:
                [record] = read_raw(answer.body) if with_record else [b""]
                return Details(read_contact(answer.body), 200, record)
            except NotAnEnvelopeError:
                pass
        return self._failed(answer, deleting=False, error=error)

    async def read_tags(self, contact_id: int, *, may_send: MaySend = always) -> Tags | Failure:
        """Read the tags of one contact; arguments are those of `read_details`."""
        answer = await self._call("GET", self._format.tags_target(contact_id), may_send=may_send)
        if isinstance(answer, Failure):
            return answer
        error = None if answer.status == 200 else read_error(answer.body)
        if answer.status == 404 and error and error.kind is Body.API_ERROR:
            return Tags((), 404)
        if answer.status == 200:
            try:
                return Tags(read_tags(answer.body), 200)
            except NotAnEnvelopeError:
                pass
        return self._failed(answer, deleting=False, error=error)

    async def read_links(
        self,
        kind: Kind,
        start_index: int,
        count: int,
        *,
        contact_id: int | None = None,
        may_send: MaySend = always,
    ) -> LinkPage | Failure:
        """Ask for one page of the opportunities or cases, with the contacts that take part in them.

        Args:
            kind: which of them.
            start_index: how many come before the page.
            count: how many, 1 to 1000; the portal can give fewer.
            contact_id: only those of this contact, 1 to 2147483647; None for all.
            may_send: as for `delete`.
        """
        if contact_id is None:
            target = wire.links_target(kind, start_index, count)
        else:
            target = wire.links_of_target(kind, contact_id, start_index, count)
        answer = await self._call("GET", target, may_send=may_send)
        if isinstance(answer, Failure):
            return answer
        if answer.status != 200:
            return self._failed(answer, deleting=False)
        try:
            page = read_links(answer.body)
        except NotAnEnvelopeError:
            return self._failed(answer, deleting=False)
        self._strange_answers = 0
        if page.count != len(page.links):
            return self._flaw(Flaw.INCOMPLETE, answer, deleting=False)
        return page

    async def list_page(
        self,
        start_index: int,
        count: int,
        selection: Filter,
        *,
        may_send: MaySend = always,
        with_records: bool = False,
    ) -> Page | Failure:
        """Ask for one page of the listing, in ascending order of contact ID.

        Args:
            start_index: how many contacts of the listing come before the page.
            count: contacts of the page, 1 to 1000; the portal can give fewer.
            selection: what to list. The portal's filters let too much through: check each contact with `matches`.
            may_send: as for `delete`.
            with_records: whether each contact is returned as the portal wrote it, too; only in JSON.

        Returns:
            The page, strictly ascending; or a failure.

        Raises:
            ValueError: start index or count are out of range; nothing was sent.
        """
        if start_index < 0 or not 1 <= count <= wire.MAX_CONTACTS:
            message = f"expected a start index from 0 and a count from 1 to {wire.MAX_CONTACTS}"
            raise ValueError(message)
        bare = self._format.listing_target(start_index, count)
        room = self._look_up_max_chars - self._base_path_chars - len(bare)
        answer = await self._call("GET", bare + first_cut(selection, room), may_send=may_send)
        if isinstance(answer, Failure):
            return answer
        if answer.status != 200:
            return self._failed(answer, deleting=False)
        try:
            page = read_page(answer.body)
        except NotAnEnvelopeError:
            return self._failed(answer, deleting=False)
        self._strange_answers = 0
        if not page.complete:
            return self._flaw(Flaw.INCOMPLETE, answer, deleting=False)
        if not page.ascending:
            return self._flaw(Flaw.DISORDERED, answer, deleting=False)
        return msgspec.structs.replace(page, records=read_raw(answer.body)) if with_records else page

    def look_up_capacity(self, contact_ids: Sequence[int]) -> int:
        """Return how many of these contact IDs, from the first on, one look-up can ask about; at least 1.

        It shrinks when the portal finds a request line too long, and is 1 on portals without a look-up of many.
        """
        if not self._bulk_look_up:
            return 1
        return self._format.look_up_capacity(contact_ids, self._look_up_max_chars - self._base_path_chars)

    async def check(self) -> Failure | None:
        """Check address, credentials and CRM access by looking up one contact; return None if all is well.

        Changes nothing on the portal. Here a single answer that is not the API's is enough to report a wrong address.
        """
        self._strange_answers = MAX_STRANGE_ANSWERS
        outcome = await self.look_up([1])
        if isinstance(outcome, Failure) and not self._bulk_look_up:
            outcome = await self.look_up([1])  # an old portal, which has only the look-up of one
        self._strange_answers = 0
        return outcome if isinstance(outcome, Failure) else None

    async def close(self) -> None:
        """Close the connections."""
        await self._exchange.close()

    async def _call(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        *,
        may_send: MaySend,
        deleting: bool = False,
    ) -> RawAnswer | Failure:
        is_out = False

        async def send(authorization: str) -> RawAnswer | Failure:
            nonlocal is_out
            is_out = True
            answer = await self._send(method, target, body, authorization, may_send=may_send, deleting=deleting)
            is_out = False
            return answer

        try:
            return await self._authenticated(send)
        except NoTurn:
            return _NO_TURN
        except MayNotSend:
            return NOT_SENT
        except asyncio.CancelledError as error:
            # Otherwise it was cancelled before the request, or after a 401, which executes nothing.
            if is_out:
                raise
            raise CancelledUnsent from error

    async def _authenticated(self, send: Callable[[str], Awaitable[RawAnswer | Failure]]) -> RawAnswer | Failure:
        """Send one authenticated request; after a 401, which executes nothing, send it again with a new token."""
        asked_s = time.monotonic()
        authorization = await self._credentials.authorization()
        if isinstance(authorization, Failure):
            return replace(authorization, sent=False)
        if time.monotonic() - asked_s > _STALE_TURN_S:
            await self._pace()  # the caller's turn has passed, as have those of all that waited for the same log-in
        answer = await send(authorization)
        if isinstance(answer, Failure) or answer.status != 401:
            return answer
        # The token of another worker's log-in may have expired before this worker used it. One more try, usually with a
        # log-in of our own, tells that apart from credentials that are not accepted.
        for _ in range(2):
            authorization = await self._credentials.renew(authorization)
            if isinstance(authorization, Failure):
                return replace(authorization, http_status=401)  # this call's status, whatever that of the log-in was
            await self._pace()
            answer = await send(authorization)
            if isinstance(answer, Failure) or answer.status != 401 or self._credentials.is_own(authorization):
                break
        return answer

    async def _send(
        self,
        method: str,
        target: str,
        body: bytes | None,
        authorization: str,
        *,
        may_send: MaySend,
        deleting: bool,
    ) -> RawAnswer | Failure:
        headers = {"Authorization": authorization}
        if body is not None:
            headers["Content-Type"] = self._format.content_type
        return await self._exchange.send(method, target, headers, body=body, deleting=deleting, may_send=may_send)

    async def _post_login(self, body: bytes) -> RawAnswer | Failure:
        headers = {"Content-Type": wire.JSON}
        return await self._exchange.send("POST", wire.LOGIN_TARGET, headers, body=body, timeout_s=LOGIN_TIMEOUT_S)

    def _not_looked_up(
        self, answer: RawAnswer, asked: list[int], *, bulk: bool, target_chars: int
    ) -> LookedUp | Failure:
        """Tell "no such contact", "no such call" and "line too long" apart from real failures."""
        error = read_error(answer.body)
        failure = self._failed(answer, deleting=False, error=error)
        if not bulk:
            if answer.status == 404 and error.kind is Body.API_ERROR:
                return LookedUp({}, asked, 404)
            # Neither look-up exists: the address is wrong, and the right one may have both.
            self._bulk_look_up = self._bulk_look_up or answer.status == 404
            return failure
        if answer.status == 414 or (answer.status in {400, 404} and error.kind is Body.HTML):
            # IIS finds a query string of about 2000 characters too long, and answers 400 or 404 then as well.
            fits = max(target_chars // 2 if answer.status == 414 else wire.IIS_MAX_CHARS, wire.MIN_LOOK_UP_CHARS)
            if len(asked) > 1 and fits < target_chars:
                self._look_up_max_chars = fits
                return replace(
                    failure,
                    action=Remedy.RETRY,
                    reason="rejected",
                    message="the portal finds the request line too long; the next look-up will be shorter",
                )
            if answer.status == 404:
                self._bulk_look_up = False
                return replace(
                    failure,
                    action=Remedy.RETRY,
                    message="the portal has no look-up of many contacts; they will be looked up one by one",
                )
        return failure

    def _failed(self, answer: RawAnswer, *, deleting: bool, error: ErrorBody | None = None) -> Failure:
        """Decide what an answer other than the expected one means."""
        error = error or read_error(answer.body)
        if error.kind is Body.API_ERROR:
            self._strange_answers = 0
        elif answer.status in range(200, 300):
            self._strange_answers += 1
            if self._strange_answers >= MAX_STRANGE_ANSWERS:
                return self._flaw(Flaw.NEVER_THE_API, answer, deleting=deleting)
        return decide_status(
            answer.status,
            error.kind,
            hresult=error.hresult,
            error_message=error.message,
            retry_after=answer.retry_after,
            date=answer.date,
            now=time.time(),
            elapsed_s=answer.elapsed_s,
            deleting=deleting,
            read_by_proxy=answer.read_by_proxy,
        )

    @staticmethod
    def _flaw(flaw: Flaw, answer: RawAnswer, *, deleting: bool) -> Failure:
        return decide_flaw(flaw, status=answer.status, elapsed_s=answer.elapsed_s, deleting=deleting)
