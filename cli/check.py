"""`crm-sweep check`: what is wrong with configuration, Redis and portals, and what to do about it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import msgspec
import typer
from arq.connections import ArqRedis
from redis.exceptions import RedisError
from rich.text import Text

from cli.context import AsJson, redis_of, settings_of
from cli.errors import ExitCode, explain
from cli.loop import run_async
from cli.output import out, rendered
from config.settings import ConfigError, Portal, Settings
from config.sources import file_to_read
from jobs.advice import remedy_for
from jobs.backlog import Backlog, read_backlog
from jobs.connection import UnsuitableServer, check_server
from jobs.protected import BadProtectedList, load_protected
from jobs.try_write import try_write
from jobs.wake import CROWDED
from web.address import BadAddress, check_host
from worker.portal_client import PortalClient
from worker.token_store import LocalTokenStore

_COLOURS = {"ok": "green", "warning": "yellow", "error": "red"}


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at."""

    about: str
    """`configuration`, `api`, `redis`, `workers`, `queue`, or `portal NAME`."""
    level: str
    """`ok`, `warning` or `error`."""
    message: str
    """What was found, and what to do."""
    code: ExitCode = ExitCode.DONE
    """The exit code that an error gives; 0 for the others."""


def check(ctx: typer.Context, as_json: AsJson = False) -> ExitCode:
    """Read the configuration, reach Redis and every portal, and say what is wrong and what to do.

    Nothing is changed: of each portal one contact is looked up, after a log-in where the portal needs one, and what is
    written into Redis, to see whether it takes a job, is gone at once.

    Exit codes: 0 all is well (warnings included), 2 the configuration or the settings of Redis are wrong, 5 Redis or
    a portal cannot be reached, or refuses. That no worker is alive is a warning.

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
    findings = [_configuration(settings, path), _api(settings)]
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
    return Finding("configuration", "ok", f"{origin}; portals {', '.join(sorted(settings.portals))}")


def _api(settings: Settings) -> Finding:
    """Whether `crm-sweep api` may listen where the configuration says."""
    host, keys = settings.api.host, settings.api.keys
    try:
        check_host(settings, host)
    except BadAddress as error:
        return Finding("api", "error", str(error), ExitCode.BAD_INPUT)
    if not keys:
        return Finding(
            "api", "ok", f"{host} port {settings.api.port}, without keys: for everybody on this machine alone"
        )
    callers = ", ".join(f"{key.name} ({', '.join(key.scopes)})" for key in keys)
    return Finding("api", "ok", f"{host} port {settings.api.port}, keys: {callers}")


async def _redis(settings: Settings) -> AsyncIterator[Finding]:
    try:
        async with redis_of(settings) as redis:
            warnings = await check_server(redis)
            await try_write(redis)
            yield Finding("redis", "ok", f"{settings.redis.redacted}: {await _facts(redis)}")
            backlog = await read_backlog(redis)
    except UnsuitableServer as error:
        yield Finding("redis", "error", str(error), ExitCode.BAD_INPUT)
    except (RedisError, OSError) as error:
        message, code = explain(error) or (str(error), ExitCode.UNREACHABLE)
        yield Finding("redis", "error", f"{settings.redis.redacted}: {message}", ExitCode.UNREACHABLE or code)
    else:
        for warning in warnings:
            yield Finding("redis", "warning", warning)
        yield _workers(backlog)
        for finding in _queue(settings, backlog):
            yield finding


def _workers(backlog: Backlog) -> Finding:
    if backlog.workers:
        return Finding("workers", "ok", f"{backlog.workers} alive")
    return Finding("workers", "warning", "none is alive: jobs wait; start one with `crm-sweep worker`")


def _queue(settings: Settings, backlog: Backlog) -> Iterator[Finding]:
    jobs = sum(sum(portal.jobs.values()) for portal in backlog.portals.values())
    facts = f"jobs that have not ended: {jobs:,}, messages in arq's queue: {backlog.queue:,}"
    if backlog.queue > CROWDED:
        yield Finding("queue", "warning", f"{facts}: nobody is woken any more; are there workers enough?")
    else:
        yield Finding("queue", "ok", facts)
    for name in sorted(backlog.portals.keys() - settings.portals.keys()):
        lost = sum(backlog.portals[name].jobs.values())
        yield Finding(
            "queue",
            "warning",
            f"{lost:,} jobs are for the portal {name}, which is not configured here; cancel them, or add it",
        )


async def _facts(redis: ArqRedis) -> str:
    info: dict[str, Any] = await redis.info("server")
    facts = [f"{info.get('server_name', 'redis')} {info.get('valkey_version') or info.get('redis_version')}"]
    try:
        config: dict[str, str] = await redis.config_get("*")
    except RedisError:
        return facts[0]
    facts += [f"{name} {config[name]}" for name in ("maxmemory-policy", "appendonly", "appendfsync") if name in config]
    return ", ".join(facts)


async def _portal(portal: Portal) -> list[Finding]:
    about = f"portal {portal.name}"
    findings = []
    try:
        protected = load_protected(portal)
    except BadProtectedList as error:
        findings.append(Finding(about, "error", str(error), ExitCode.BAD_INPUT))
    else:
        if protected:
            findings.append(Finding(about, "ok", f"{len(protected):,} protected contact IDs"))

    async def pace() -> None:
        await asyncio.sleep(1 / portal.requests_per_second)

    client = PortalClient(portal, LocalTokenStore(), pace)
    try:
        failure = await client.check()
    finally:
        await client.close()
    if failure:
        message = f"{failure.reason}: {failure.message}"
        if to_do := remedy_for(failure.reason):
            message = f"{message}; {to_do}"
        return [*findings, Finding(about, "error", message, ExitCode.UNREACHABLE)]
    return [Finding(about, "ok", "answers, and the account may use the CRM"), *findings]
