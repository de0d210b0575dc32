"""`POST /v1/jobs`: a list of contact IDs of any size, or a filter, becomes a job or nothing."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import msgspec
from aiohttp import web
from msgspec import UNSET
from pyroaring import BitMap

from config.settings import Portal
from jobs.accept.submission import submission_for
from jobs.accept.submit import submit
from jobs.intake.json_form import JsonForm
from jobs.intake.parser import IntakeParser
from jobs.intake.report import FormName
from jobs.intake.tally import Intake, IntakeError, Tally
from jobs.view.job import read_job, submitted_job
from jobs.words.errors import BadSubmission
from jobs.words.filters import Filter
from jobs.words.job_ids import check_job_id
from jobs.words.priority import Priority
from web.api.models import JobDocument, JobParameters
from web.api.reading import decode, query_of
from web.http.as_json import as_json
from web.http.body import read_body, read_plain
from web.http.callers import Caller, caller, visible_portal
from web.http.context import LIMITS, REDIS, SETTINGS
from web.http.problems import Kind, Refusal, Wrong, refuse_list

#: The form of a list by media type.
STREAMED: dict[str, FormName] = {"text/plain": "lines", "text/csv": "csv", "application/x-ndjson": "ndjson"}

_DOCUMENT = "application/json"

#: Bytes of an array in a document that are looked at in one go, about ten milliseconds.
_BLOCK_BYTES = 512 << 10


class Intakes:
    """Bounds how many lists are read at the same time.

    Args:
        at_once: most lists read at the same time.
        wait_s: how long another one waits for its turn.
    """

    def __init__(self, at_once: int, wait_s: float) -> None:
        self._places = asyncio.Semaphore(at_once)
        self._wait_s = wait_s

    @contextlib.asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Take one of the places while the block lasts.

        Raises:
            Refusal: all of them stay taken.
        """
        try:
            async with asyncio.timeout(self._wait_s):
                await self._places.acquire()
        except TimeoutError:
            raise Refusal(
                Kind.TOO_BUSY, "Too many lists are being read; try again later.", headers={"Retry-After": "5"}
            ) from None
        try:
            yield
        finally:
            self._places.release()


INTAKES = web.AppKey("intakes", Intakes)
"""The lists that this process reads now."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a request asks for, once it is read to its end."""

    portal: Portal
    job_id: str | None
    parameters: JobParameters | JobDocument
    intake: Intake | None = None
    selection: Filter | None = None


async def create_job(request: web.Request) -> web.Response:
    """Accept a job: 202, or 200 if the same request was accepted before."""
    if request.content_type not in {_DOCUMENT, *STREAMED}:
        raise Refusal(
            Kind.WRONG_MEDIA_TYPE, f"Send the list with a Content-Type of {', '.join([_DOCUMENT, *STREAMED])}."
        )
    parameters = query_of(request, JobParameters)
    async with request.app[INTAKES].place():
        # A client that sends a hundred megabytes should not learn only afterwards that they cannot be stored.
        await request.app[REDIS].ping()
        if request.content_type == _DOCUMENT:
            asked = await _read_document(request, parameters)
        else:
            asked = await _read_stream(request, parameters)
        return await _accept(request, asked)


async def _read_stream(request: web.Request, parameters: JobParameters) -> _Asked:
    if parameters.portal is UNSET:
        where, why = "query.portal", "name the portal to delete from"
        raise Refusal(Kind.INVALID, f"{where}: {why}.", more={"errors": (Wrong(where=where, why=why),)})
    portal = visible_portal(request, parameters.portal)
    job_id = _job_id(request, parameters)
    most_bytes = request.app[SETTINGS].api.max_body_mb * 1_000_000
    parser = IntakeParser(
        column=parameters.column or None,
        skip_invalid=bool(parameters.skip_invalid),
        multiline=bool(parameters.multiline),
        form=STREAMED[request.content_type],
        most_bytes=most_bytes,
    )
    await read_body(request, most_bytes, parser.feed)
    return _Asked(portal, job_id, parameters, await asyncio.to_thread(parser.close))


async def _read_document(request: web.Request, parameters: JobParameters) -> _Asked:
    body = bytearray()
    await read_plain(request, request.app[LIMITS].document_bytes, body.extend)
    if body[:64].lstrip().startswith(b"["):
        where, why = "body", 'a JSON document is an object such as {"portal": "main", "contact_ids": [1, 2]}'
        streamed = f"send a list alone as {', '.join(list(STREAMED)[:-1])} or {list(STREAMED)[-1]}"
        raise Refusal(Kind.INVALID, f"{where}: {why}; {streamed}.", more={"errors": (Wrong(where=where, why=why),)})
    document = await asyncio.to_thread(decode, body, JobDocument)
    portal = visible_portal(request, document.portal)
    for name in parameters.__struct_fields__:
        asked, said = getattr(parameters, name), getattr(document, name)
        if asked is not UNSET and asked != said:
            raise Refusal(
                Kind.UNKNOWN_PARAMETER,
                f"{name}: with a JSON document, everything belongs in the document, but the query says something else.",
                more={"errors": (Wrong(where=f"query.{name}", why="the document says something else"),)},
            )
    job_id = _job_id(request, document)
    given = [name for name in ("contact_ids", "filter") if getattr(document, name) is not UNSET]
    if len(given) != 1:
        what = "both" if given else "neither"
        why = f"expected contact_ids or filter, given {what}"
        raise Refusal(Kind.INVALID, f"body: {why}.", more={"errors": (Wrong(where="body", why=why),)})
    if document.contact_ids is not UNSET:
        return _Asked(portal, job_id, document, await asyncio.to_thread(_read_array, document, document.contact_ids))
    return _Asked(portal, job_id, document, selection=Filter.from_json(bytes(document.filter or b"")))


class _IndexedTally(Tally):
    """Knows at which position of an array each wrong value stands: the form hands on values in their order."""

    def __init__(self, *, skip_invalid: bool) -> None:
        super().__init__(skip_invalid=skip_invalid)
        self.wrong: list[Wrong] = []

    def reject(self, line: int, text: bytes, why: str, *, nameless: bool = False) -> None:
        index = self._valid + self._invalid
        super().reject(line, text, why, nameless=nameless)
        if len(self._bad_lines) > len(self.wrong):
            told = self._bad_lines[-1].text
            self.wrong.append(Wrong(where=f"body.contact_ids[{index}]", index=index, text=told, why=why))


def _read_array(document: JobDocument, contact_ids: msgspec.Raw) -> Intake:
    """Read the array of a document in blocks, so that millions of IDs never become Python numbers.

    Raises:
        Refusal: there is something in it that is not a contact ID.
        IntakeError: it is no array, or there is nothing in it.
    """
    raw = memoryview(contact_ids)
    tally = _IndexedTally(skip_invalid=bool(document.skip_invalid))
    if not bytes(raw[:1]).startswith(b"["):
        where, why = "body.contact_ids", "expected an array"
        raise Refusal(Kind.INVALID, f"{where}: {why}.", more={"errors": (Wrong(where=where, why=why),)})
    form = JsonForm(tally, column=document.column or None)
    for start in range(0, len(raw), _BLOCK_BYTES):
        form.feed(bytes(raw[start : start + _BLOCK_BYTES]))
    layout = form.close()
    try:
        return tally.finish(layout)
    except IntakeError as error:
        refusal = refuse_list(error, where="body.contact_ids")
        if tally.wrong:
            refusal.more["errors"] = tuple(tally.wrong)
        raise refusal from None


def _job_id(request: web.Request, parameters: JobParameters | JobDocument) -> str | None:
    """Return the ID that the caller chose, by `id` or by the header.

    Raises:
        Refusal: both are given and differ, or the header cannot be an ID.
    """
    chosen = parameters.id or None
    headers = request.headers.getall("Idempotency-Key", ())
    if not headers:
        return chosen
    # What is no UTF-8 in a header could not be told in an answer.
    first, *more = (header.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for header in headers)
    if more:
        raise Refusal(Kind.INVALID, "There is more than one Idempotency-Key.")
    key = first.removeprefix('"').removesuffix('"')  # a draft of the IETF writes it as a quoted string
    try:
        check_job_id(key)
    except BadSubmission as error:
        wrong = Wrong(where="header.Idempotency-Key", text=key[:80], why="cannot be the ID of a job")
        raise Refusal(
            Kind.INVALID, f"Idempotency-Key becomes the job's ID: {error}.", more={"errors": (wrong,)}
        ) from None
    if chosen is not None and chosen != key:
        raise Refusal(Kind.UNKNOWN_PARAMETER, "id and Idempotency-Key differ; one of them is enough.")
    return key


async def _accept(request: web.Request, asked: _Asked) -> web.Response:
    known, portal, parameters, intake = caller(request), asked.portal, asked.parameters, asked.intake
    ids = intake.ids if intake else BitMap()
    _check_ceiling(known, len(ids))
    redis = request.app[REDIS]
    accepted = await submit(
        redis,
        submission_for(
            portal,
            ids,
            by=known.name,
            selection=asked.selection,
            plan=bool(parameters.plan),
            max_contacts=known.max_contacts or 0,
            job_id=asked.job_id,
            label=parameters.label or "",
            duplicates=intake.duplicates if intake else 0,
            priority=parameters.priority or Priority.NORMAL,
            undo=None if parameters.undo is UNSET else parameters.undo,
        ),
    )
    headers = {"Location": f"/v1/jobs/{accepted.job_id}", "Skipped-Invalid": str(intake.invalid if intake else 0)}
    job = await read_job(redis, accepted.job_id)
    answer = submitted_job(job, intake.report if intake else None)
    return as_json(answer, status=202 if accepted.created else 200, headers=headers)


def _check_ceiling(known: Caller, count: int) -> None:
    if known.max_contacts is not None and count > known.max_contacts:
        raise Refusal(
            Kind.TOO_MANY_CONTACTS,
            f"The list has {count:,} contact IDs; the key {known.name!r} may submit at most {known.max_contacts:,}.",
        )
