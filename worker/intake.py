"""Deletion requests that other services put into the queue with plain arq."""

from collections.abc import Mapping
from typing import Any

from arq.connections import ArqRedis
from pyroaring import BitMap

from config.settings import Settings
from jobs.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID
from jobs.submit import BadSubmission, Submission, submit

_NAMES = frozenset({"portal", "contact_ids", "label"})


async def accept(redis: ArqRedis, settings: Settings, job_id: str, request: Mapping[str, Any]) -> str:
    """Accept a request as a job, all or nothing.

    Args:
        redis: the connection.
        settings: the configured portals.
        job_id: arq's job ID, which becomes the job's.
        request: what the caller passed by name.

    Returns:
        The job's ID.

    Raises:
        BadSubmission: an unknown name, portal, or something that is not a contact ID.
        JobExists: the ID is taken by another request.
    """
    unknown = sorted(request.keys() - _NAMES)
    if unknown:
        raise BadSubmission(f"unknown argument {unknown[0]!r}; expected {', '.join(sorted(_NAMES))}")
    portal = settings.portals.get(str(request.get("portal")))
    if portal is None:
        raise BadSubmission(f"portal: {request.get('portal')!r} is not configured here")
    label = request.get("label") or ""
    if not isinstance(label, str):
        raise BadSubmission("label: expected a text")
    contact_ids = request.get("contact_ids")
    if not isinstance(contact_ids, list):
        raise BadSubmission("contact_ids: expected a list of integers")
    for index, contact_id in enumerate(contact_ids):
        if type(contact_id) is not int or not MIN_CONTACT_ID <= contact_id <= MAX_CONTACT_ID:
            raise BadSubmission(f"contact_ids[{index}]: {contact_id!r:.80} is not a contact ID")
    ids = BitMap(contact_ids)
    accepted = await submit(
        redis,
        Submission(
            portal=portal.name,
            ids=ids,
            job_id=job_id,
            label=label,
            duplicates=len(contact_ids) - len(ids),
            needs_approval=0 < portal.approval_above < len(ids),
            lanes=portal.max_concurrency,
        ),
    )
    return accepted.job_id
