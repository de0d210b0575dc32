"""`crm-sweep check`: what is wrong with configuration, Redis and portals, and what to do about it."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import typer
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from rich.text import Text

from cli.context import AsJson, redis_of, settings_of
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import out, plural, rendered
from cli.switch import in_words
from config.fields import plain
from config.guards import Guards
from config.service_links import service_links
from config.settings import ConfigError, Portal, Settings
from config.sources import file_to_read
from jobs.bundles.errors import StoreTrouble
from jobs.bundles.store import BundleStore
from jobs.intake.protected import BadProtectedList, read_protected
from jobs.lanes.wake import CROWDED
from jobs.receipts.signing import public_key_of, signing_key
from jobs.schedules.definition import filter_of
from jobs.store.replicas import check_sentinels, read_replicas, replicas_in_words
from jobs.store.server_check import SETTINGS, UnsuitableServer, check_server, server_settings
from jobs.store.trouble import trouble_of
from jobs.store.try_write import try_write
from jobs.view.backlog import Backlog, read_backlog
from jobs.view.stops import Stop, read_stops
from jobs.words.reasons import remedy_without_job
from web.http.address import BadAddress, check_host
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was checked."""

    about: str
    """`configuration`, `api`, `receipts`, `redis`, `workers`, `queue`, `portals`, `portal NAME`,
    `schedule NAME` or `webhook NAME`."""
    level: str
    """`ok`, `warning` or `error`."""
    message: str
    """What was found, and what to do."""
    code: ExitCode = ExitCode.DONE
    """The exit code that an error leads to; 0 for the others."""


def check(ctx: typer.Context, as_json: AsJson = False) -> ExitCode:
    """Read the configuration, reach Redis and every portal, and say what is wrong and what to do.

    Nothing is changed: one contact of each portal is looked up, after a log-in where the portal needs one. What is
    written to Redis, to see whether it takes a job, and to undo stores, is removed immediately. Nothing is sent to
    webhooks.

    Exit codes: 0 all is well (even with warnings), 2 the configuration or the settings of Redis are wrong, 5 Redis or
    a portal cannot be reached, or refuses. It is only a warning that no worker is alive.

    Examples:
      crm-sweep check
      crm-sweep --config prod.toml check --json
    """
    try:
        settings = settings_of(ctx)
    except ConfigError as error:
        findings = [Finding("configuration", "error", problem, ExitCode.BAD_INPUT) for problem in error.problems]
    else:
        findings = run_async(_check(settings, ctx.obj))
    if as_json:
        out(msgspec.json.encode({"findings": findings}).decode() + "\n")
    else:
        for finding in findings:
            level = Text(f"{finding.level:<8}", style=_COLOURS[finding.level])
            out(rendered(level.append(f"{finding.about}: {finding.message}", style="default")))
    return max((finding.code for finding in findings), default=ExitCode.DONE)


async def _check(settings: Settings, path: Path | None) -> list[Finding]:
    findings = [_configuration(settings, path), *_blanks(settings), _api(settings)]
    findings += [*_receipts(settings), *_schedules(settings), *_webhooks(settings)]
    findings += [finding async for finding in _redis(settings)]
    for found in await asyncio.gather(*(_portal(portal) for portal in settings.portals.values())):
        findings += found
    return findings


def _configuration(settings: Settings, path: Path | None) -> Finding:
    file, named_by = file_to_read(path, os.environ)
    origin = f"file {file.absolute()}{named_by}" if file else "the environment alone, no file"
    if not settings.portals:
        return Finding(
            "configuration",
            "error",
            f"{origin}: no portal is configured; add a table [portals.NAME] to crm-sweep.toml, or name another "
            "file with --config",
            ExitCode.BAD_INPUT,
        )
    message = f"{origin}; portals {', '.join(sorted(settings.portals))}"
    if links := service_links(os.environ):
        message += f"; {len(links)} variables of services in the same namespace are left alone, such as {links[0]}"
    return Finding("configuration", "ok", message)


def _blanks(settings: Settings) -> Iterator[Finding]:
    """Find passwords that may hold more than they should: a blank can be part of one, but seldom is."""
    passwords = {
        "redis.password": settings.redis.password,
        "redis.sentinel_password": settings.redis.sentinel_password,
    }
    for portal in settings.portals.values():
        passwords[f"portals.{portal.name}.password"] = portal.password
        passwords[f"portals.{portal.name}.proxy_password"] = portal.proxy_password
    for name, password in passwords.items():
        text = plain(password) or ""
        if text != text.strip():
            yield Finding(
                "configuration",
                "warning",
                f"{name} begins or ends with a blank; take it out if it does not belong there",
            )


def _api(settings: Settings) -> Finding:
    """Check whether `crm-sweep api` can listen where the configuration says."""
    host, keys = settings.api.host, settings.api.keys
    try:
        check_host(settings, host)
    except BadAddress as error:
        return Finding("api", "error", str(error), ExitCode.BAD_INPUT)
    if not keys:
        return Finding(
            "api", "ok", f"{host} port {settings.api.port}, without keys: open to users of this machine only"
        )
    callers = ", ".join(f"{key.name} ({', '.join(key.scopes)})" for key in keys)
    return Finding("api", "ok", f"{host} port {settings.api.port}, keys: {callers}")


def _receipts(settings: Settings) -> Iterator[Finding]:
    """Tell whose receipts these are; a key that cannot be used is an error of the configuration."""
    if settings.receipts.key_file:
        yield Finding("receipts", "ok", f"signed with the key {public_key_of(signing_key(settings.receipts))}")


def _schedules(settings: Settings) -> Iterator[Finding]:
    """Tell when each schedule is due next, and whether a person has to approve its plans."""
    for schedule in settings.schedules:
        about = f"schedule {schedule.name}"
        if not schedule.enabled:
            yield Finding(about, "ok", f"portal {schedule.portal}, {filter_of(schedule)}; not enabled")
            continue
        due_ms = schedule.times.next_after(round(time.time() * 1000))
        due = (
            f"{datetime.fromtimestamp(due_ms / 1000, ZoneInfo(schedule.timezone)):%Y-%m-%d %H:%M %Z}" if due_ms else "-"
        )
        yield Finding(about, "ok", f"portal {schedule.portal}, {filter_of(schedule)}; next at {due}")


def _webhooks(settings: Settings) -> Iterator[Finding]:
    """Tell where events go. Addresses and secrets are in order, or the configuration would have been refused."""
    for webhook in settings.webhooks:
        what = ", ".join(webhook.events) if webhook.events else "all events"
        whose = f" of {', '.join(webhook.portals)}" if webhook.portals else ""
        message = f"{what}{whose} go to {webhook.host}; to try it: `crm-sweep webhooks test {webhook.name}`"
        yield Finding(f"webhook {webhook.name}", "ok", message)


async def _redis(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with redis_of(settings) as redis:
            warnings = await check_server(redis)
            await try_write(redis)
            yield Finding("redis", "ok", f"{settings.redis.redacted}: {await _facts(redis)}")
            if (told := await check_sentinels(redis)) is not None:
                yield Finding("redis", "ok", told[0])
                warnings += told[1]
            backlog = await read_backlog(redis)
            stops = await read_stops(redis)
    except UnsuitableServer as error:
        yield Finding("redis", "error", str(error), ExitCode.BAD_INPUT)
    except (RedisError, OSError) as error:
        # Not `explain`: to it an OSError is about a file, which makes exit code 2; here it came from the connection.
        yield Finding("redis", "error", f"{settings.redis.redacted}: {trouble_of(error)}", ExitCode.UNREACHABLE)
    else:
        for warning in warnings:
            yield Finding("redis", "warning", warning)
        yield _workers(backlog)
        for finding in (*_queue(settings, backlog), *_stops(stops)):
            yield finding


def _workers(backlog: Backlog) -> Finding:
    if backlog.workers:
        return Finding("workers", "ok", f"{backlog.workers} alive")
    return Finding("workers", "warning", "none is alive: jobs wait; start one with `crm-sweep worker`")


def _queue(settings: Settings, backlog: Backlog) -> Iterator[Finding]:
    jobs = sum(sum(portal.jobs.values()) for portal in backlog.portals.values())
    facts = f"jobs that have not ended: {jobs:,}, messages in arq's queue: {backlog.queue:,}"
    if backlog.queue > CROWDED:
        yield Finding("queue", "warning", f"{facts}: unless most are for later, workers do not keep up; start more")
    else:
        yield Finding("queue", "ok", facts)
    for name in sorted(backlog.portals.keys() - settings.portals.keys()):
        lost = sum(backlog.portals[name].jobs.values())
        yield Finding(
            "queue",
            "warning",
            f"{plural(lost, 'job')} for the portal {name}, which is not configured here: cancel, or add the portal",
        )


def _stops(stops: list[Stop]) -> Iterator[Finding]:
    for stop in stops:
        about = f"portal {stop.portal}" if stop.portal else "portals"
        command = f"crm-sweep start --portal {stop.portal}" if stop.portal else "crm-sweep start"
        yield Finding(about, "warning", f"{in_words(stop)}: jobs wait; to let them go on: `{command}`")


async def _facts(redis: ArqRedis) -> str:
    settings = await server_settings(redis)
    facts = [settings.get("server", "it does not tell its version")]
    facts += [f"{name} {settings[name]}" for name in SETTINGS if name in settings]
    replicas = await read_replicas(redis)
    if replicas is not None and replicas.connected + replicas.behind:
        facts.append(replicas_in_words(replicas))
    return ", ".join(facts)


def _way_to(portal: Portal) -> Iterator[Finding]:
    """Say which proxy calls go through, and which authorities they trust."""
    about = f"portal {portal.name}"
    if proxy := portal.proxy_on_the_way():
        who = f" as the user {proxy.username}" if proxy.username else ""
        yield Finding(about, "ok", f"calls go through the proxy {proxy.url} (named by {proxy.named_by}){who}")
    elif portal.proxy_from_environment:
        yield Finding(about, "ok", "the environment names no proxy for its address: calls go straight to the portal")
    if portal.tls_ca_file is not None:
        yield Finding(about, "ok", f"its certificate may come from the authorities in {portal.tls_ca_file} alone")


async def _portal(portal: Portal) -> list[Finding]:
    about = f"portal {portal.name}"
    findings = list(_way_to(portal))
    try:
        protected = read_protected(portal)
    except BadProtectedList as error:
        findings.append(Finding(about, "error", str(error), ExitCode.BAD_INPUT))
    else:
        if protected:
            told = f"{len(protected.ids):,} protected contact IDs, {protected.report.understood()}"
            findings.append(Finding(about, "ok", told))
            findings += [Finding(about, "warning", f"protected list: {doubt}") for doubt in protected.report.doubts()]

    if portal.undo != "off":
        findings += await _undo(portal)

    async def pace() -> None:
        await asyncio.sleep(1 / portal.requests_per_second)

    client = PortalClient(portal, LocalTokenStore(), pace)
    try:
        failure = await client.check()
    finally:
        await client.close()
    if failure:
        message = f"{failure.reason}: {failure.message}"
        # What the failure says to do is more to the point than what its reason says.
        if ";" not in failure.message and (to_do := remedy_without_job(failure.reason)):
            message = f"{message}; {to_do}"
        return [*findings, Finding(about, "error", message, ExitCode.UNREACHABLE)]
    return [Finding(about, "ok", "answers, and the account may use the CRM"), *findings, _guards(portal)]


async def _undo(portal: Portal) -> list[Finding]:
    """Write, read and remove something in the undo store, as making, restoring and destroying a bundle do."""
    about = f"portal {portal.name}"
    try:
        await BundleStore.of(portal).probe()
    except StoreTrouble as trouble:
        message = str(trouble)
        # What the trouble says to do is more to the point.
        if ";" not in message:
            message += "; correct undo_store, or what its credentials allow"
        return [Finding(about, "error", message, ExitCode.UNREACHABLE)]
    keys = plural(len(portal.undo_recipients), "public key")
    told = f"undo is {portal.undo}: the store takes and gives back; encrypted to {keys}; {portal.undo_days:g} days"
    findings = [Finding(about, "ok", told)]
    if "://" not in portal.undo_store and not Path(portal.undo_store).is_absolute():
        findings.append(Finding(about, "warning", _RELATIVE_STORE))
    return findings


_RELATIVE_STORE = (
    "undo_store is a relative path, so where bundles are depends on where a program is started; make it an absolute one"
)


def _guards(portal: Portal) -> Finding:
    """Tell which guards are set, so that a person sees what is not."""
    told = [
        f"{name} {_in_words(getattr(portal, name))}"
        for name, field in Guards.model_fields.items()
        if getattr(portal, name) != field.default
    ]
    message = f"guards: {', '.join(told)}" if told else "no guards are set; docs/guards.md tells what there is"
    return Finding(f"portal {portal.name}", "ok", message)


def _in_words(value: object) -> str:
    """Return the value of a guard."""
    if value is True:
        return "on"
    return " and ".join(map(repr, value)) if isinstance(value, tuple) else str(value)
