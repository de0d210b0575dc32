"""The table of operations: routing and the OpenAPI document are both made from it, so neither can lie about the other.

To add one: write its handler (see `web.operation`) in a file of its own, and give it a row here. Parts that are no
operations (the page and its files) are made with a function `routes(app)`, called in `web.app`.
"""

from jobs.results import COLUMNS
from jobs.view import Job
from web.events import job_events
from web.health import Alive, Readiness, healthz, readyz
from web.jobs import get_job
from web.metrics import metrics
from web.operation import JSON, Answer, Operation
from web.problems import Kind
from web.results import LedgerLine, ResultsQuery, job_results

OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}",
        name="getJob",
        scope="read",
        summary="Look at a job",
        description="Cheap, whatever the size of the job: made for polling.",
        handler=get_job,
        answers={200: Answer(description="The job.", content={JSON: Job})},
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/results",
        name="getResults",
        scope="read",
        summary="Read the ledger of a job",
        description=(
            "One line per contact ID, in ascending order, streamed; at any time, also while the job runs. Compressed "
            "where `Accept-Encoding` asks for gzip. A ledger that cannot be sent to its end, because the job was "
            "forgotten meanwhile or Redis went away, breaks off with a reset of the connection: an answer that ends "
            "in an orderly way is complete."
        ),
        handler=job_results,
        query=ResultsQuery,
        headers={"Accept-Encoding": "gzip, to get less to transfer."},
        answers={
            200: Answer(
                description="The ledger. CSV has the same columns, in the same order, with a header.",
                content={
                    "application/x-ndjson": LedgerLine,
                    "text/csv": {"type": "string", "description": f"Columns: {', '.join(COLUMNS)}."},
                },
                headers={"Content-Disposition": "A file name.", "Content-Encoding": "gzip, where it was asked for."},
            )
        },
        problems=(Kind.TOO_BUSY,),
        streams=True,
    ),
    Operation(
        method="GET",
        path="/v1/jobs/{job_id}/events",
        name="watchJob",
        scope="read",
        summary="Follow a job",
        description=(
            "Server-sent events: one event `job` at once and one per change, at most two a second, with the job as "
            "data; whoever reads slowly only gets the newest state. Comments keep a silent connection alive. After "
            "the event of a job that has ended the stream ends. A client that comes back with the `id` of the last "
            "event it had is not sent that again. A job that is forgotten meanwhile ends with an event `gone`."
        ),
        handler=job_events,
        headers={"Last-Event-ID": "The id of the last event that came, on coming back."},
        answers={
            200: Answer(
                description="The events, as they happen.",
                content={"text/event-stream": {"type": "string", "description": "Events `job` and `gone`."}},
            ),
            204: Answer(
                description="The job has ended, and `Last-Event-ID` shows that this is known: do not come back."
            ),
        },
        problems=(Kind.TOO_BUSY,),
        streams=True,
    ),
    Operation(
        method="GET",
        path="/healthz",
        name="getHealth",
        summary="Is the process alive?",
        handler=healthz,
        answers={200: Answer(description="It is.", content={JSON: Alive})},
        asks_redis=False,
    ),
    Operation(
        method="GET",
        path="/readyz",
        name="getReadiness",
        summary="Can it take in jobs?",
        handler=readyz,
        answers={
            200: Answer(description="It can; warnings may tell what to look after.", content={JSON: Readiness}),
            503: Answer(description="It cannot; the findings tell why.", content={JSON: Readiness}),
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
        answers={200: Answer(description="Prometheus' text format.", content={"text/plain": {"type": "string"}})},
        asks_redis=False,
    ),
)
