"""`GET /v1/jobs/{job_id}/receipt`, and `/receipt/{contact_id}`: the receipt of a job, and the proof of one contact."""

import asyncio

import msgspec
from aiohttp import web

from jobs.receipts.documents import Proof, Receipt, to_json
from jobs.receipts.errors import NotEnded, UnknownContact
from jobs.receipts.make import make_proof, make_receipt
from jobs.receipts.signing import signing_key
from jobs.words.contact_ids import parse_contact_id
from web.api.jobs import visible_job
from web.api.operation import JSON
from web.api.reading import query_of
from web.http.context import REDIS, SETTINGS
from web.http.places import Places


class ReceiptQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a receipt holds."""

    sealed: bool = False
    """Leave out what shows that a ledger belongs to it, as for a receipt that is handed on."""


class Receipts:
    """Bounds what making receipts costs this process.

    Args:
        at_once: requests that may be under way; of these, one at a time reads its ledger.
    """

    def __init__(self, at_once: int) -> None:
        self.places = Places(at_once, "Too many receipts are being made; try again later.")
        self.turn = asyncio.Semaphore(1)


RECEIPTS = web.AppKey("receipts", Receipts)
"""The receipts that this process makes."""

#: Waiting for the turn costs next to nothing.
_AT_ONCE = 32


def install(app: web.Application) -> None:
    """Give an application its bounds of receipts."""
    app[RECEIPTS] = Receipts(_AT_ONCE)


async def job_receipt(request: web.Request) -> web.Response:
    """Answer with the receipt of a job that has ended.

    Raises:
        UnknownJob: there is no such job.
        NotEnded: it has not ended.
        NoReceiptKey: there is no key to sign it with.
        Refusal: a parameter is wrong, or there are too many requests of the kind.
    """
    query = query_of(request, ReceiptQuery)
    job_id, key = await _ended_job(request), signing_key(request.app[SETTINGS].receipts)
    if request.method == "HEAD":
        return _answer(job_id, "receipt", None)
    receipts = request.app[RECEIPTS]
    with receipts.places.place():
        async with receipts.turn:
            made = await make_receipt(request.app[REDIS], job_id, key, sealed=query.sealed)
    return _answer(job_id, "receipt", made)


async def contact_proof(request: web.Request) -> web.Response:
    """Answer with the proof of what became of one contact of a job that has ended.

    Raises:
        UnknownJob: there is no such job.
        UnknownContact: it does not have this contact.
        NotEnded: it has not ended.
        NoReceiptKey: there is no key to sign it with.
        Refusal: there are too many requests of the kind.
    """
    job_id, key = await _ended_job(request), signing_key(request.app[SETTINGS].receipts)
    text = request.match_info["contact_id"]
    try:
        contact_id = parse_contact_id(text)
    except ValueError:
        raise UnknownContact(job_id, ascii(text[:20])) from None
    name = f"proof-{contact_id}"
    if request.method == "HEAD":
        return _answer(job_id, name, None)
    receipts = request.app[RECEIPTS]
    with receipts.places.place():
        async with receipts.turn:
            made = await make_proof(request.app[REDIS], job_id, contact_id, key)
    return _answer(job_id, name, made)


async def _ended_job(request: web.Request) -> str:
    job = await visible_job(request)
    if not job.ended:
        raise NotEnded(job.id, job.state)
    return job.id


def _answer(job_id: str, name: str, made: Receipt | Proof | None) -> web.Response:
    headers = {"Content-Disposition": f'attachment; filename="crm-sweep-{job_id}-{name}.json"'}
    return web.Response(body=to_json(made) if made else None, content_type=JSON, headers=headers)
