"""`crm-sweep results`: the ledger of a job."""

from pathlib import Path
from typing import Annotated

import typer

from cli.context import JobId, redis_of, settings_of
from cli.errors import UsageError
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import note, plural
from cli.report import check_target, write_report
from config.settings import Settings
from jobs.ledger.export import Format
from jobs.view.job import read_job
from jobs.words.errors import UnknownJob
from jobs.words.outcomes import Outcome


def results(
    ctx: typer.Context,
    job_id: JobId,
    *,
    outcome: Annotated[
        Outcome | None,
        typer.Option("--outcome", metavar="OUTCOME", help=f"Only contacts with this outcome: {', '.join(Outcome)}."),
    ] = None,
    against_plan: Annotated[
        bool,
        typer.Option("--against-plan", help="Only contacts that did not end as planned."),
    ] = False,
    form: Annotated[Format, typer.Option("--format", help="How lines are written.")] = Format.CSV,
    target: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="OUT", help="File to write to, completely or not at all.")
    ] = None,
) -> ExitCode:
    """Write the ledger of a job: one line per contact ID, in ascending order.

    The ledger can be read at any time; contacts that are not decided yet are `pending`. With --against-plan, there are
    only the contacts that did not end as planned, with the plan's verdict as the last column.

    Exit codes: 0 done, 1 the file or standard output cannot be written, as on a full disk, 2 bad usage, 4 no such job,
    5 Redis cannot be reached.

    Examples:
      crm-sweep results 01JD4M6Y9Q --outcome failed
      crm-sweep results 01JD4M6Y9Q --against-plan
      crm-sweep results 01JD4M6Y9Q --format ndjson -o outcome.ndjson
    """
    if outcome and against_plan:
        raise UsageError("--outcome and --against-plan cannot be combined")
    if target:
        check_target(target)
    count, undecided = run_async(_write(settings_of(ctx), job_id, outcome, form, target, against_plan=against_plan))
    if target:
        note(f"{target}: {plural(count, 'line')}")
    if against_plan and undecided:
        note(f"job {job_id} has not ended: {plural(undecided, 'contact')} cannot be compared yet")
    return ExitCode.DONE


async def _write(
    settings: Settings, job_id: str, outcome: Outcome | None, form: Format, target: Path | None, *, against_plan: bool
) -> tuple[int, int]:
    """Write the lines; return how many they are, and how many contacts of the job are not decided yet."""
    async with redis_of(settings) as redis:
        try:
            count = await write_report(redis, job_id, target, form, outcome, against_plan=against_plan)
        except UnknownJob:
            job = await read_job(redis, job_id)  # raises as well if there is no such job
            raise UsageError(f"job {job.id} has no ledger yet: no worker has taken it") from None
        undecided = (await read_job(redis, job_id)).counts[Outcome.PENDING] if against_plan else 0
        return count, undecided
