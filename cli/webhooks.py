"""`crm-sweep webhooks`: what waits for each webhook and what was delivered, and a test event."""

from typing import Annotated

import typer
from rich.table import Table

from cli.context import AsJson, redis_of, settings_of
from cli.errors import ReceiverFailed, UsageError
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import note, out, plural, rendered
from config.settings import Settings, Webhook
from jobs.store.times import clock
from jobs.view.job import to_json
from jobs.webhooks.events import trial_event
from jobs.webhooks.view import WebhookView, read_webhooks
from worker.webhooks.post import Answer, Poster


def webhooks_(
    ctx: typer.Context,
    test: Annotated[str, typer.Argument(metavar="test", help="Send a test event.", show_default=False)] = "",
    name: Annotated[str, typer.Argument(metavar="NAME", help="The webhook to send it to.", show_default=False)] = "",
    as_json: AsJson = False,
) -> ExitCode:
    """Show the configured webhooks: what waits for them, what was delivered, and how the last try went.

    `webhooks test NAME` sends the event webhook.test once, straight from here; nothing is queued, and nothing needs to
    run. Addresses and secrets are never shown.

    Exit codes: 0 done, 2 bad usage, 4 no such webhook, 5 Redis cannot be reached, or the receiver of a test event
    cannot be reached or refuses it.

    Examples:
      crm-sweep webhooks
      crm-sweep webhooks --json | jq '.webhooks[] | {name, waiting}'
      crm-sweep webhooks test office-chat
    """
    if test not in {"", "test"} or (test and not name):
        raise UsageError("use `crm-sweep webhooks`, or `crm-sweep webhooks test NAME`")
    settings = settings_of(ctx)
    return _test(settings.webhook(name), as_json=as_json) if test else _show(settings, as_json=as_json)


def _show(settings: Settings, *, as_json: bool) -> ExitCode:
    views = run_async(_read(settings))
    if as_json:
        out(to_json({"webhooks": views}).decode() + "\n")
    elif views:
        out(rendered(_table(views), fitted=False))
    else:
        note("no webhook is configured; docs/webhooks.md tells how to add one")
    return ExitCode.DONE


async def _read(settings: Settings) -> list[WebhookView]:
    async with redis_of(settings) as redis:
        return await read_webhooks(redis, settings.webhooks)


def _table(views: list[WebhookView]) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in ("webhook", "host", "waiting", "delivered", "given up", "last delivery", "last try"):
        is_number = name in {"waiting", "delivered", "given up"}
        table.add_column(name, justify="right" if is_number else "left", no_wrap=True)
    for view in views:
        last = view.deliveries[0] if view.deliveries else None
        table.add_row(
            view.name,
            view.host,
            f"{view.waiting:,}",
            f"{view.delivered:,}",
            f"{view.given_up:,}",
            clock(view.last_delivered_at) if view.last_delivered_at else "never",
            f"{last.event} {last.result.replace('_', ' ')}: {last.error or last.status}" if last else "none",
        )
    return table


def _test(webhook: Webhook, *, as_json: bool) -> ExitCode:
    answer = run_async(_send(webhook))
    if as_json:
        report = {"name": webhook.name, "status": answer.status, "error": answer.error, "took_ms": answer.took_ms}
        out(to_json(report).decode() + "\n")
    if answer.error is not None:
        raise ReceiverFailed(
            f"webhook {webhook.name} ({webhook.host}) did not take the test event: {answer.error}; correct its url or "
            "its receiver, and try again"
        )
    if not as_json:
        took = plural(answer.took_ms, "millisecond")
        out(f"webhook {webhook.name} ({webhook.host}) took the test event: {answer.status} within {took}\n")
    return ExitCode.DONE


async def _send(webhook: Webhook) -> Answer:
    poster = Poster()
    try:
        return await poster.post(webhook, trial_event())
    finally:
        await poster.close()
