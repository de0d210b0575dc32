"""`crm-sweep why`: what holds a job back now."""

from collections import Counter
from collections.abc import Iterator

import typer

from cli.context import AsJson, JobId, redis_of, settings_of
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import out, plural
from cli.portal_commands import drive
from cli.summary import duration
from config.settings import Settings
from jobs.store.times import clock
from jobs.view.job import to_json
from jobs.view.portal import PortalView
from jobs.view.why import Why, explain


def why(ctx: typer.Context, job_id: JobId, as_json: AsJson = False) -> ExitCode:
    """Show what holds a job back now, what its portal answered last, and when the job may be done.

    Names the one binding constraint: the portal's rate or concurrency, a rest that the portal asked for, other jobs, a
    pause, a fault. The time left is a range, from the fastest to the slowest pace that the job has had so far.

    Exit codes: 0 done, 2 bad usage, 4 no such job, 5 Redis cannot be reached.

    Examples:
      crm-sweep why 01JD4M6Y9Q
      crm-sweep why 01JD4M6Y9Q --json | jq .constraint
    """
    found = run_async(_explain(settings_of(ctx), job_id))
    out(to_json(found).decode() + "\n" if as_json else "".join(f"{line}\n" for line in lines_of(found)))
    return ExitCode.DONE


async def _explain(settings: Settings, job_id: str) -> Why:
    async with redis_of(settings) as redis:
        return await explain(redis, settings, job_id)


def lines_of(found: Why) -> Iterator[str]:
    """Yield an explanation for people, line by line."""
    yield f"job {found.id} is {found.state}"
    yield f"{found.constraint}: {found.explanation}" if found.constraint else found.explanation
    if found.until:
        yield f"until: {clock(found.until)}"
    if found.share is not None:
        yield f"share: {found.share:.0%} of the portal's turns"
    if found.eta:
        earliest, latest = duration(found.eta.earliest_s), duration(found.eta.latest_s)
        yield f"done in: {earliest if earliest == latest else f'{earliest} to {latest}'}"
    if found.portal:
        yield f"portal: {drive(found.portal)}"
        yield from _answers(found.portal)


#: What people call a call, where that is not its own word.
_CALLS = {"put": "deletion", "look_up": "look-up"}


def _answers(portal: PortalView) -> Iterator[str]:
    """Summarise the last answers, and describe the newest in full."""
    if not portal.last_answers:
        return
    results = Counter(answer.result for answer in portal.last_answers)
    yield f"last answers: {', '.join(f'{count} {result}' for result, count in results.most_common())}"
    newest = portal.last_answers[0]
    status = f", HTTP {newest.http_status}" if newest.http_status else ""
    what = f"{_CALLS.get(newest.call, newest.call)} of {plural(newest.size, 'contact')}"
    took = f"took {newest.took_ms / 1000:.2f} s, at {clock(newest.at)}"
    yield f"the newest: {what}, {newest.result}{status}, {took}"
