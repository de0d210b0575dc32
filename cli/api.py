"""`crm-sweep api`: the HTTP API and its page."""

import contextlib
from typing import Annotated

import typer

from cli.context import settings_of
from cli.exit_codes import ExitCode
from cli.loop import run_async
from cli.output import OutputLost, ReaderGone, out
from config.logging import configure_logging
from config.tracing_setup import start_tracing
from web.server import serve


def api(
    ctx: typer.Context,
    host: Annotated[
        str | None, typer.Option("--host", metavar="HOST", help="Address to listen on, instead of api.host.")
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            "--port",
            metavar="PORT",
            min=0,
            max=65535,
            help="Port to listen on, instead of api.port; 0 for any free one.",
        ),
    ] = None,
) -> ExitCode:
    """Run the HTTP API and its page, print the address, and log to standard error.

    Without api.keys it listens on loopback addresses only, and anyone who can reach them can do everything. After
    SIGTERM or Ctrl-C it finishes the requests in progress. It also starts while Redis is away, and waits for it.


    Exit codes: 0 stopped in an orderly way, 2 the configuration is wrong, or it cannot or must not listen there.

    Examples:
      crm-sweep api
      crm-sweep api --port 0
    """
    settings = settings_of(ctx)
    configure_logging(settings.log)
    start_tracing(settings.tracing)
    address = (settings.api.host if host is None else host, settings.api.port if port is None else port)
    run_async(serve(settings, *address, _say_where))
    return ExitCode.DONE


def _say_where(url: str) -> None:
    # Whether or not anyone reads it, the API is up; the address is in its log as well.
    with contextlib.suppress(ReaderGone, OutputLost):
        out(f"listening on {url}\n")
