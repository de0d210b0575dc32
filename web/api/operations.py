"""The table of operations: routing and the OpenAPI document are both made from it, so the two cannot disagree.

To add one: write its handler (see `web.api.operation`) in a file of its own, and give it a row here. The page and its
files are not operations: their table is `web.page.routes`.
"""

from typing import Annotated

from msgspec import Meta

from jobs.ledger.rows import COLUMNS
from jobs.plan.export import PLAN_COLUMNS
from jobs.receipts.documents import Proof, Receipt
from jobs.steering.switch import Switch
from jobs.view.job import Job, SubmittedJob
from jobs.view.portal import PortalView
from jobs.view.why import Why
from jobs.words.contact_ids import MAX_CONTACT_ID
from web.api.events import EVENT, job_events
from web.api.jobs import approve_job, change_job, get_job, get_jobs, get_why, steer
from web.api.models import (
    Approval,
    JobChange,
    JobDocument,
    JobList,
    JobParameters,
    JobsQuery,
    PortalChange,
    Stops,
    SwitchRequest,
)
from web.api.openapi import openapi
from web.api.operation import JSON, Operation, Success
from web.api.plan import PlanLine, PlanQuery, job_plan
from web.api.portals import PortalList, change_portal, get_portal, get_portals
from web.api.receipts import ReceiptQuery, contact_proof, job_receipt
from web.api.results import LedgerLine, ResultsQuery, job_results
from web.api.schedules import ScheduleList, get_schedules
from web.api.submission import create_job
from web.api.switch import turn
from web.api.webhooks import WebhookList, get_webhooks
from web.http.problems import Kind
from web.ops.health import Alive, Readiness, healthz, readyz
from web.ops.metrics import metrics

_SAME_JOB = {"job_id": "$response.body#/id"}

#: Where an answer that is a job leads.
_JOB_LINKS = {
    "getJob": _SAME_JOB,
    "changeJob": _SAME_JOB,
    "pauseJob": _SAME_JOB,
    "resumeJob": _SAME_JOB,
    "cancelJob": _SAME_JOB,
    "approveJob": _SAME_JOB,
    "retryFailed": _SAME_JOB,
    "explainJob": _SAME_JOB,
    "getResults": _SAME_JOB,
    "getReceipt": _SAME_JOB,
    "watchJob": _SAME_JOB,
    "getPortal": {"name": "$response.body#/portal"},
}

_JOB = Success(description="The job as it is now.", content={JSON: Job}, links=_JOB_LINKS)
_PORTAL = Success(
    description="The portal as it is now.",
    content={JSON: PortalView},
    links={"changePortal": {"name": "$response.body#/name"}, "createJob": {"portal": "$response.body#/name"}},
)


def _verb(verb: str, name: str, summary: str, description: str) -> Operation:
    return Operation(
        method="POST",
        path=f"/v1/jobs/{{job_id}}/{verb}",
        name=name,
        scope="control",
        summary=summary,
        description=description,
        handler=steer(verb),
        answers={200: _JOB},
        problems=(Kind.ILLEGAL_MOVE,),
        streams=verb == "retry-failed",  # it reads the whole ledger, which takes its time
    )


def _switch(to: Switch, name: str, summary: str, description: str) -> Operation:
    return Operation(
        method="POST",
        path=f"/v1/{to}",
        name=name,
        scope="control",
        summary=summary,
        description=description,
        handler=turn(to),
        bodies={JSON: SwitchRequest},
        needs_body=False,
        answers={200: Success(description="The stops that are in force now.", content={JSON: Stops})},
        problems=(Kind.UNKNOWN_PORTAL,),
    )


def _list_of(*header: str) -> dict[str, str | list[str]]:
    """Describe a list of contact IDs, one a line; the last line needs no line end."""
    first, *more = (*header, _ID)
    line = f"(\\r?\\n{_ID})"
    return {
        "type": "string",
        "pattern": f"^{first}{line}{'+' if more else '*'}(\\r?\\n)?$",
        "examples": ["\n".join((*header, "101", "102", ""))],
    }


def _digits_up_to(most: int) -> str:
    """Describe the whole numbers from 1 to `most`, which has at least two digits; leading zeros do no harm."""
    text = str(most)
    below = [f"[1-9][0-9]{{0,{len(text) - 2}}}"]
    for at, digit in enumerate(map(int, text)):
        lowest = 0 if at else 1
        if digit > lowest:
            below.append(f"{text[:at]}[{lowest}-{digit - 1}][0-9]{{{len(text) - at - 1}}}")
    return f"0*({'|'.join([*below, text])})"


_ID = _digits_up_to(MAX_CONTACT_ID)

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="POST",
        path="/v1/jobs",
        name="createJob",
        scope="submit",
        summary="Submit a list of contact IDs, or a filter",
        description=(
            "As a JSON document, or as the list alone with the parameters in the query: one ID per line, a CSV with a "
            "header, or NDJSON of integers or objects; streamed, of any size up to `api.max_body_mb`. Plain or gzip. "
            "A list is accepted as a whole or not at all; duplicates are left out and counted. In the answer, `intake` "
            "says how the list was read. CSV is read strictly: every row is as wide as its header. `id`, or the header "
            "Idempotency-Key, makes it safe to send twice. A JSON document holds everything: a query "
            "parameter may only repeat what it says. A list alone needs `portal` in the query. "
            "Lists larger than the portal's `approval_above` wait for approval. With `plan`, and always with `filter`, "
            "what would become of each contact is predicted first, and the plan waits for approval."
        ),
        handler=create_job,
        query=JobParameters,
        headers={"Idempotency-Key": "The job's ID; instead of `id`."},
        bodies={
            JSON: JobDocument,
            "text/plain": _list_of(),
            "text/csv": _list_of("contact_id"),
            "application/x-ndjson": _list_of(),
        },
        answers={
            status: Success(
                description=description,
                content={JSON: SubmittedJob},
                headers={
                    "Location": "Address of the job.",
                    "Skipped-Invalid": "How many values were dropped because of `skip_invalid`.",
                },
                links=_JOB_LINKS,
            )
            for status, description in (
                (200, "The same request had been accepted before; this is its job."),
                (202, "Accepted."),
            )
        },
        problems=(
            Kind.TOO_MANY_CONTACTS,
            Kind.TOO_MANY_FOR_PORTAL,
            Kind.UNKNOWN_PORTAL,
            Kind.JOB_EXISTS,
            Kind.PLAN_REQUIRED,
            Kind.INVALID_FILTER,
            Kind.INVALID_LIST,
            Kind.TOO_BUSY,
        ),
        streams=True,
    ),
    Operation(
        method="GET",
        path="/v1/jobs",
        name="listJobs",
        scope="read",
        summary="List jobs",
        description="Newest first. A key that is restricted to certain portals sees only their jobs.",
        handler=get_jobs,
        query=JobsQuery,
        answers={200: Success(description="A page of jobs.", content={JSON: JobList})},
        problems=(Kind.UNKNOWN_PORTAL,),
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}",
        name="getJob",
        scope="read",
        summary="Look at a job",
        description="Cheap whatever the size of the job, so it is suitable for polling.",
        handler=get_job,
        answers={200: _JOB},
    ),
    Operation(
        method="PATCH",
        path="/v1/jobs/{job_id}",
        name="changeJob",
        scope="control",
        summary="Change a job's priority",
        description="Takes effect with the next batch.",
        handler=change_job,
        bodies={JSON: JobChange},
        answers={200: _JOB},
        problems=(Kind.ILLEGAL_MOVE,),
    ),
    _verb(
        "pause", "pauseJob", "Pause a job", "No new batch starts; those in flight are recorded, then it is `paused`."
    ),
    _verb(
        "resume",
        "resumeJob",
        "Resume a job",
        "For a job that is paused, or that waits for the portal: after a fault, or for the end of a rest. The rest is "
        "ended: one careful call goes alone before the others follow, and the last of `actions` says what the portal "
        "had asked for. 409 if the job is neither paused nor waiting for the portal.",
    ),
    _verb(
        "cancel",
        "cancelJob",
        "Stop a job for good",
        "Contacts that were never sent become `skipped`; sent ones are accounted for, then it is `cancelled`.",
    ),
    Operation(
        method="POST",
        path="/v1/jobs/{job_id}/approve",
        name="approveJob",
        scope="control",
        summary="Approve a job",
        description="For a job with a plan, the document holds the digest of the plan that was looked at; 409 if that "
        "is another one or has expired, or if the plan deletes a larger share of the portal than `max_share`. A job "
        "that waits because it is larger than `approval_above` needs no document. 403 if the portal wants another "
        "person to approve it.",
        handler=approve_job,
        bodies={JSON: Approval},
        needs_body=False,
        answers={200: _JOB},
        problems=(
            Kind.ILLEGAL_MOVE,
            Kind.DIGEST_NEEDED,
            Kind.PLAN_CHANGED,
            Kind.BLAST_RADIUS,
            Kind.SECOND_PERSON,
            Kind.UNKNOWN_PORTAL,
        ),
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/plan",
        name="getPlan",
        scope="read",
        summary="Read the plan of a job",
        description="What is predicted for each contact ID, in ascending order, streamed. 409 for a job without a "
        "plan, and before the plan stands. As with the ledger, an answer that ends normally is complete.",
        handler=job_plan,
        query=PlanQuery,
        headers={"Accept-Encoding": "gzip, to transfer less."},
        answers={
            200: Success(
                description="The plan. CSV has the same columns, in the same order, with a header.",
                content={
                    "application/x-ndjson": PlanLine,
                    "text/csv": {"type": "string", "description": f"Columns: {', '.join(PLAN_COLUMNS)}."},
                },
                headers={"Content-Disposition": "A file name.", "Content-Encoding": "gzip, where it was asked for."},
            )
        },
        problems=(Kind.NO_PLAN, Kind.TOO_BUSY),
        streams=True,
    ),
    _verb(
        "retry-failed",
        "retryFailed",
        "Try the failed contacts of a completed job again",
        "Within the same job and ledger; every other outcome stays as it is. If none has failed, nothing changes.",
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/why",
        name="explainJob",
        scope="read",
        summary="Why is it slow?",
        description="What holds the job back now, what the portal answered last, and when the job may end.",
        handler=get_why,
        answers={200: Success(description="The explanation.", content={JSON: Why})},
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/results",
        name="getResults",
        scope="read",
        summary="Read the ledger of a job",
        description=(
            "One line per contact ID, in ascending order, streamed; at any time, even while the job runs. 409 for a "
            "job submitted with plain arq that no worker has taken yet: its ledger begins then. Compressed where "
            "`Accept-Encoding` asks for gzip. A ledger that cannot be sent to its end, because the job was forgotten "
            "meanwhile or Redis went away, breaks off with a connection reset: an answer that ends normally "
            "is complete."
        ),
        handler=job_results,
        query=ResultsQuery,
        headers={"Accept-Encoding": "gzip, to transfer less."},
        answers={
            200: Success(
                description="The ledger. CSV has the same columns, in the same order, with a header.",
                content={
                    "application/x-ndjson": LedgerLine,
                    "text/csv": {"type": "string", "description": f"Columns: {', '.join(COLUMNS)}."},
                },
                headers={"Content-Disposition": "A file name.", "Content-Encoding": "gzip, where it was asked for."},
            )
        },
        problems=(Kind.ILLEGAL_MOVE, Kind.TOO_BUSY),
        streams=True,
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/receipt",
        name="getReceipt",
        scope="read",
        summary="Have the ledger of a job signed",
        description=(
            "The receipt of a job that has ended: its counts and times, and a hash over all lines of its ledger, "
            "signed. It names no contact. Without `sealed`, it shows that a ledger belongs to it. 409 until the job "
            "has ended; 404 `no-receipt-key` if `receipts.key_file` is not set."
        ),
        handler=job_receipt,
        query=ReceiptQuery,
        answers={
            200: Success(
                description="The receipt; `crm-sweep verify` checks it.",
                content={JSON: Receipt},
                headers={"Content-Disposition": "A file name."},
            )
        },
        problems=(Kind.ILLEGAL_MOVE, Kind.NO_RECEIPT_KEY, Kind.TOO_BUSY),
        streams=True,  # it may read the whole ledger, which takes its time
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/receipt/{contact_id}",
        name="getProof",
        scope="read",
        summary="Prove what became of one contact",
        description=(
            "The line of one contact, and what shows that it is part of the signed ledger; it tells nothing of the "
            "other contacts but how many there are of each outcome."
        ),
        handler=contact_proof,
        answers={
            200: Success(
                description="The proof; `crm-sweep verify` checks it.",
                content={JSON: Proof},
                headers={"Content-Disposition": "A file name."},
            )
        },
        problems=(Kind.ILLEGAL_MOVE, Kind.UNKNOWN_CONTACT, Kind.NO_RECEIPT_KEY, Kind.TOO_BUSY),
        streams=True,
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/events",
        name="watchJob",
        scope="read",
        summary="Follow a job",
        description=(
            "Server-sent events: one event `job` immediately and one per change, at most two per second, with the "
            "job as data; that its pace falls while nothing happens is no change. A slow reader gets only the newest "
            "state. Comments keep a silent connection alive. The stream ends after the event of a job that has ended. "
            "A client that reconnects with the `id` of the last event it received is not sent that event again. If the "
            "job is forgotten, the stream ends with `gone`."
        ),
        handler=job_events,
        headers={"Last-Event-ID": "When reconnecting, the id of the last event received."},
        answers={
            200: Success(
                description="The events, as they happen.",
                content={"text/event-stream": EVENT},
            ),
            204: Success(
                description="The job has ended, and `Last-Event-ID` shows that the client knows: do not reconnect."
            ),
        },
        problems=(Kind.TOO_BUSY,),
        streams=True,
    ),
    Operation(
        method="GET",
        path="/v1/portals",
        name="listPortals",
        scope="read",
        summary="List portals",
        handler=get_portals,
        answers={
            200: Success(
                description="The configured portals, by name.",
                content={JSON: PortalList},
                links={
                    "getPortal": {"name": "$response.body#/portals/0/name"},
                    "createJob": {"portal": "$response.body#/portals/0/name"},
                },
            )
        },
    ),
    Operation(
        method="GET",
        path="/v1/portals/{name}",
        name="getPortal",
        scope="read",
        summary="Look at a portal",
        handler=get_portal,
        answers={200: _PORTAL},
    ),
    Operation(
        method="PATCH",
        path="/v1/portals/{name}",
        name="changePortal",
        scope="control",
        summary="Change the limits of a portal, or open its windows once",
        description=(
            "Takes effect for every worker from its next call on; null restores the configured value. `open_until` is "
            "a time that is still to come, at most 7 days ahead."
        ),
        handler=change_portal,
        bodies={JSON: Annotated[PortalChange, Meta(extra_json_schema={"minProperties": 1})]},
        answers={200: _PORTAL},
    ),
    Operation(
        method="GET",
        path="/v1/schedules",
        name="listSchedules",
        scope="read",
        summary="List schedules",
        description=(
            "The configured campaigns that start by themselves: when each is due next, its last jobs, and what it "
            "waits for. A key that is restricted to certain portals sees only theirs."
        ),
        handler=get_schedules,
        answers={200: Success(description="The schedules, by name.", content={JSON: ScheduleList})},
    ),
    _switch(
        Switch.STOP,
        "stopDeletions",
        "Stop deletions",
        "No PUT leaves from the next batch on, until somebody starts them again; it survives restarts. Look-ups go on, "
        "so that what was sent is accounted for. Without a body, or without `portal`, it is about all portals, and "
        "needs a key that is not restricted to some of them.",
    ),
    _switch(
        Switch.START,
        "startDeletions",
        "Let deletions go on",
        "Takes a stop back. A stop of all portals and a stop of one are separate: starting one portal does not lift a "
        "stop of all, which the answer then still lists.",
    ),
    Operation(
        method="GET",
        path="/v1/webhooks",
        name="listWebhooks",
        scope="read",
        summary="List webhooks",
        description="What waits for each of them, and the last tries to deliver. Their addresses and secrets are "
        "never shown. A key that is restricted to certain portals sees only the tries about these.",
        handler=get_webhooks,
        answers={200: Success(description="The configured webhooks.", content={JSON: WebhookList})},
    ),
    Operation(
        method="GET",
        path="/openapi.json",
        name="getDocument",
        summary="This document",
        handler=openapi,
        answers={200: Success(description="OpenAPI 3.1.", content={JSON: {"type": "object"}})},
        asks_redis=False,
    ),
    Operation(
        method="GET",
        path="/healthz",
        name="getHealth",
        summary="Is the process alive?",
        handler=healthz,
        answers={200: Success(description="It is.", content={JSON: Alive})},
        asks_redis=False,
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="getReadiness",
        summary="Can it accept jobs?",
        handler=readyz,
        answers={
            200: Success(description="It can; warnings tell what needs attention.", content={JSON: Readiness}),
            503: Success(description="It cannot; the findings explain why.", content={JSON: Readiness}),
        },
        asks_redis=False,
    ),
    Operation(
        method="GET",
        path="/metrics",
        name="getMetrics",
        summary="What Prometheus reads",
        description="Counters and gauges of the whole fleet, the same in every API process.",
        handler=metrics,
        answers={200: Success(description="Prometheus' text format.", content={"text/plain": {"type": "string"}})},
        asks_redis=False,
    ),
)
