"""A start loads what its command needs."""

import importlib
import inspect
import subprocess
import sys

import pytest

from cli import program
from cli.main import COMMANDS, _stand_in

#: What takes long to load.
HEAVY = {"aiohttp", "cryptography.x509", "jinja2", "jwt.api_jwt", "pydantic", "redis", "simulator", "structlog", "web"}


def loaded_by(*arguments: str) -> set[str]:
    """Return what of `HEAVY` a command has loaded when it ends."""
    code = "import atexit, sys; from cli.program import main; atexit.register(lambda: print(*sys.modules)); main()"
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return set(done.stdout.splitlines()[-1].split()) & HEAVY


@pytest.mark.parametrize("arguments", ["--help", "-h", "--version"])
def test_the_overview_and_the_version_load_nothing_of_the_program(arguments: str) -> None:
    assert not loaded_by(arguments)


@pytest.mark.parametrize("command", ["status", "submit", "pause", "results"])
def test_a_command_that_calls_no_portal_loads_no_client_and_no_cryptography(command: str) -> None:
    assert loaded_by(command, "--help") == {"pydantic", "redis", "structlog"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_overview_shows_the_docstring_of_each_command(command: str) -> None:
    _, place = COMMANDS[command]
    module, _, function = place.partition(":")
    theirs = getattr(importlib.import_module(module), function).__doc__
    assert theirs
    assert inspect.cleandoc(_stand_in(place).__doc__ or "") == inspect.cleandoc(theirs)


def test_a_module_that_is_loaded_when_used_is_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    before = importlib.import_module("colorsys")
    monkeypatch.delitem(sys.modules, "colorsys")
    program._load_when_used("colorsys")
    stand_in = importlib.import_module("colorsys")
    assert stand_in is not before
    assert "rgb_to_hsv" not in vars(stand_in)
    assert stand_in.rgb_to_hsv(1.0, 0.0, 0.0) == (0.0, 1.0, 1.0)
    assert "rgb_to_hsv" in vars(importlib.import_module("colorsys"))


def test_what_is_not_installed_or_already_loaded_is_left_alone() -> None:
    program._load_when_used("no_such_module")
    assert "no_such_module" not in sys.modules
    json = importlib.import_module("json")
    program._load_when_used("json")
    assert sys.modules["json"] is json
