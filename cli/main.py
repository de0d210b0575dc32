"""The command `crm-sweep`: its commands, and the one place where errors become exit codes.

It loads little. The rest comes with the commands that the command line names, and with an error that has to be
explained; the help needs none of it.
"""

import contextlib
import gc
import inspect
import os
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType
from typing import Annotated, Any

import typer

from cli.exit_codes import ExitCode
from cli.interrupts import terminable
from cli.loop import left_behind
from cli.output import ReaderGone, mute, note, prepare_streams

_ONE_SHOT, _JOBS, _PORTALS, _SERVICES = "Without any server", "Jobs", "Portals", "Services"

#: Every command: the panel of the help that shows it, and the function that carries it out.
COMMANDS = {
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
        from importlib.metadata import version  # noqa: PLC0415 - takes long, and is for this option alone

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
    # The help does without these.
    from config.logging import configure_logging  # noqa: PLC0415
    from config.models import LogConfig  # noqa: PLC0415
    from config.tracing_setup import stop_tracing  # noqa: PLC0415

    ctx.obj = config
    # Only errors, on standard error: commands print their own messages.
    configure_logging(LogConfig(format="console", level="error"))
    ctx.call_on_close(stop_tracing)


def _app(argv: Sequence[str]) -> typer.Typer:
    """Build the app with the commands that the command line names, or with what the overview shows of all of them."""
    app = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["--help", "-h"]},
    )
    app.callback(help=_reflowed(_HELP))(_options)
    named = [name for name in COMMANDS if name in argv]
    # A shell that asks for completions passes the command line in other variables.
    are_all = _COMPLETE in os.environ
    for name in COMMANDS if are_all else named or COMMANDS:
        panel, place = COMMANDS[name]
        command = _load(place) if named or are_all else _stand_in(place)
        # The simulator parses its options itself, including --help.
        options: dict[str, Any] = _PASSED_ON if name == "simulator" else {}
        app.command(name, help=_reflowed(command.__doc__ or ""), rich_help_panel=panel, **options)(command)
    return app


def _load(place: str) -> Callable[..., Any]:
    """Import a command; that takes most of the time of a start."""
    module, _, function = place.partition(":")
    command: Callable[..., Any] = getattr(import_module(module), function)
    return command


def _stand_in(place: str) -> Callable[..., Any]:
    """Return a function with a command's docstring, which is read from the compiled module; nothing is imported."""

    def command() -> None:
        """Do nothing; a command that is named is never a stand-in."""

    module, _, function = place.partition(":")
    spec = find_spec(module)
    if spec is None or not isinstance(spec.loader, InspectLoader) or (code := spec.loader.get_code(module)) is None:
        return _load(place)
    for part in code.co_consts:
        if isinstance(part, CodeType) and part.co_name == function:
            command.__doc__ = part.co_consts[0]
    return command


#: The variable with which a shell asks for completions.
_COMPLETE = "_CRM_SWEEP_COMPLETE"

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
            code = _main(sys.argv[1:] if argv is None else argv)
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
    try:
        app = _app(argv)
        gc.enable()  # `cli.program` has disabled it for the loading
        code = app(args=argv, prog_name="crm-sweep", standalone_mode=False)
    except (ReaderGone, BrokenPipeError):
        mute(sys.stdout)
        return ExitCode.DONE
    except SystemExit:
        raise
    except BaseException as error:  # noqa: BLE001 - the last resort: no command ends in a traceback
        from cli.errors import explain  # noqa: PLC0415 - knows all errors, and so loads where they come from

        message, code = explain(error) or _bug(error)
        note(f"crm-sweep: {message}")
        return code
    if code == ExitCode.INTERRUPTED:  # how typer reports Ctrl-C
        note("crm-sweep: interrupted")
    return int(code or ExitCode.DONE)


def _bug(error: BaseException) -> tuple[str, ExitCode]:
    """Save the traceback of a bug to a file, without secrets, and return a message that names the file."""
    from config.masking import mask_text  # noqa: PLC0415 - has been loaded by `cli.errors`

    with tempfile.NamedTemporaryFile("w", prefix="crm-sweep-crash-", suffix=".txt", delete=False) as file:
        file.write(mask_text(traceback.format_exc()))
    return f"unexpected {type(error).__name__}, a bug; details: {file.name}", ExitCode.JOB_ENDED_BADLY


if __name__ == "__main__":
    main()
