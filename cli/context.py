"""What the commands share: the settings named on the command line, the connection to Redis, common arguments."""

import contextlib
import getpass
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated

import typer
from arq.connections import ArqRedis
from redis.exceptions import ResponseError

from config.settings import Settings, load_settings
from config.tracing import TRACEPARENT, continue_trace
from config.tracing_setup import start_tracing
from jobs.schedules.definition import wrong_schedules
from jobs.store.connection import connect
from jobs.store.format_number import check_format
from jobs.webhooks.outbox import announce

JobId = Annotated[str, typer.Argument(metavar="ID", help="The job's ID.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]


def operator() -> str:
    """Return the name of the user who runs this command, for the record of a job's actions."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a container may run under a user ID that has no name
        name = str(os.getuid())
    # It may come from the environment, which can hold anything.
    return f"cli:{name[:64].encode('utf-8', 'replace').decode()}"


def settings_of(ctx: typer.Context) -> Settings:
    """Load the settings that the command line points to.

    Raises:
        ConfigError: they cannot be used.
    """
    path: Path | None = ctx.obj
    return load_settings(path, checks=[wrong_schedules])


def begin_tracing(settings: Settings) -> None:
    """Begin to trace a command that submits jobs, if that is enabled, as part of the trace of `TRACEPARENT`.

    It starts a thread, so a server of the command's own has to run before.

    Raises:
        ConfigError: a variable of OpenTelemetry cannot be used.
    """
    start_tracing(settings.tracing)
    continue_trace(os.environ.get(TRACEPARENT.upper()))


@contextlib.asynccontextmanager
async def redis_of(settings: Settings, *, patience_s: float = 3.0, must_answer: bool = True) -> AsyncIterator[ArqRedis]:
    """Connect to the configured Redis for the duration of the block.

    Webhooks are announced first, so that they are told of what the block does even if no worker has run yet.

    Args:
        settings: the configuration.
        patience_s: about how long a command is retried while Redis is away.
        must_answer: False for a block that can do without Redis; it has to call `check_format` itself.

    Raises:
        UnsuitableServer: Redis holds data of a newer version.
        redis.exceptions.RedisError: Redis is away, or refuses.
    """
    redis = connect(settings.redis, patience_s=patience_s)
    try:
        if must_answer:
            await check_format(redis)
        if settings.webhooks:
            # A Redis that refuses writes, such as one that is out of memory, can still be asked.
            with contextlib.suppress(ResponseError):
                await announce(redis, settings.webhooks)
        yield redis
    finally:
        await redis.aclose(close_connection_pool=True)
