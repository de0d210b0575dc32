"""The table of operations: routing and the OpenAPI document are both made from it, so neither can lie about the other.

To add one: write its handler (see `web.operation`) in a file of its own, and give it a row here. Parts that are no
operations (the page and its files) are made with a function `routes(app)`, called in `web.app`.
"""

from jobs.view import Job
from web.health import Alive, Readiness, healthz, readyz
from web.jobs import get_job
from web.operation import JSON, Answer, Operation

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
)
