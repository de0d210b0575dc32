"""The command `crm-sweep`: its commands, and the one place where errors become exit codes."""

import contextlib
import inspect
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import ExitCode, explain
from cli.interrupts import terminable
from cli.loop import left_behind
from cli.output import ReaderGone, mute, note, prepare_streams
from config.logging import configure_logging
from config.masking import mask_text
from config.settings import LogConfig
from config.tracing_setup import stop_tracing

_ONE_SHOT, _JOBS, _PORTALS, _SERVICES = "Without any server", "Jobs", "Portals", "Services"

#: Every command: the panel of the help that shows it, and the function that carries it out.
_COMMANDS = {
    "run": (_ONE_SHOT, "cli.run:run"),
    "demo": (_ONE_SHOT, "cli.demo:demo"),
    "select": (_JOBS, "cli.select:select"),
    "plan": (_JOBS, "cli.plan:plan"),
    "submit": (_JOBS, "cli.submit:submit"),
    "status": (_JOBS, "cli.look:status"),
    "watch": (_JOBS, "cli.look:watch"),
    "list": (_JOBS, "cli.look:list_"),
    "results": (_JOBS, "cli.results:results"),
    "receipt": (_JOBS, "cli.receipts:receipt"),
    "prove": (_JOBS, "cli.receipts:prove"),
    "verify": (_JOBS, "cli.verify:verify"),
    "pause": (_JOBS, "cli.steer:pause"),
    "resume": (_JOBS, "cli.steer:resume"),
    "cancel": (_JOBS, "cli.steer:cancel"),
    "approve": (_JOBS, "cli.steer:approve"),
    "retry-failed": (_JOBS, "cli.steer:retry_failed_"),
    "priority": (_JOBS, "cli.steer:priority"),
    "why": (_JOBS, "cli.why:why"),
    "restore": (_JOBS, "cli.restore:restore"),
    "bundle": (_JOBS, "cli.bundle:bundle"),
    "portals": (_PORTALS, "cli.portal_commands:portals"),
    "limits": (_PORTALS, "cli.portal_commands:limits"),
    "stop": (_PORTALS, "cli.switch:stop"),
    "start": (_PORTALS, "cli.switch:start"),
    "schedules": (_PORTALS, "cli.schedules:schedules"),
    "webhooks": (_SERVICES, "cli.webhooks:webhooks_"),
    "worker": (_SERVICES, "cli.worker:worker"),
    "api": (_SERVICES, "cli.api:api"),
    "keys": (_SERVICES, "cli.keys:keys"),
    "check": (_SERVICES, "cli.check:check"),
    "simulator": (_SERVICES, "cli.simulator:simulator"),
}

_HELP = """Delete CRM contacts in bulk from an ONLYOFFICE portal, with a ledger that tells what became of each of them.

Exit codes: 0 done, 1 the job failed or was cancelled, or the output could not be written, 2 bad usage or input, 3 done
but some contacts failed, 4 no such job or portal, 5 Redis or the portal cannot be reached or refuses, 130 interrupted.

Examples:
  crm-sweep demo
  crm-sweep run contacts.csv --portal main --plan --report outcome.csv
  crm-sweep --config prod.toml submit contacts.csv --portal main
"""


def _reflowed(text: str) -> str:
    """Let the paragraphs of a docstring fill the terminal's width; indented lines, the examples, stay as they are."""
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(part if "\n  " in part else part.replace("\n", " ") for part in paragraphs)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crm-sweep {version('crm-sweep')}")
        raise typer.Exit


def _options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="PATH", help="Configuration file; default CRM_SWEEP_CONFIG, else ./crm-sweep.toml."
        ),
    ] = None,
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Handle the options that come before the command."""
    ctx.obj = config


def _app(argv: Sequence[str]) -> typer.Typer:
    """Build the app with the commands that the command line needs: importing them takes most of the time.

    These are the commands that it names, or all, for the help; none for the version.
    """
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(help=_reflowed(_HELP))(_options)
    named = [name for name in _COMMANDS if name in argv]
    for name in named or ([] if list(argv) == ["--version"] else _COMMANDS):
        panel, place = _COMMANDS[name]
        module, _, function = place.partition(":")
        command = getattr(import_module(module), function)
        # The simulator parses its options itself, including --help.
        options: dict[str, Any] = _PASSED_ON if name == "simulator" else {}
        app.command(name, help=_reflowed(command.__doc__), rich_help_panel=panel, **options)(command)
    return app


_PASSED_ON = {
    "add_help_option": False,
    "context_settings": {"allow_extra_args": True, "ignore_unknown_options": True},
}


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code.

    Raises:
        SystemExit: always.
    """
    code = 0
    try:
        with terminable():
            try:
                code = _main(sys.argv[1:] if argv is None else argv)
            finally:
                stop_tracing()
    except SystemExit as ended:  # from argparse and typer
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    if left_behind():  # the interpreter would wait for these tasks, or complain about them
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
        os._exit(code)
    sys.exit(code)


def _main(argv: Sequence[str]) -> int:
    prepare_streams()
    # Only errors, on standard error: commands print their own messages.
    configure_logging(LogConfig(format="console", level="error"))
    try:
        code = _app(argv)(args=argv, prog_name="crm-sweep", standalone_mode=False)
    except (ReaderGone, BrokenPipeError):
        mute(sys.stdout)
        return ExitCode.DONE
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the last resort: no command ends in a traceback
        message, code = explain(error) or _bug(error)
        note(f"crm-sweep: {message}")
        return code
    if code == ExitCode.INTERRUPTED:  # how typer reports Ctrl-C
        note("crm-sweep: interrupted")
    return int(code or ExitCode.DONE)


def _bug(error: BaseException) -> tuple[str, ExitCode]:
    """Save the traceback of a bug to a file, without secrets, and return a message that names the file."""
    with tempfile.NamedTemporaryFile("w", prefix="crm-sweep-crash-", suffix=".txt", delete=False) as file:
        file.write(mask_text(traceback.format_exc()))
    return f"unexpected {type(error).__name__}, a bug; details: {file.name}", ExitCode.JOB_ENDED_BADLY


if __name__ == "__main__":
    main()
