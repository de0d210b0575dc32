"""One tree of errors: drawn where readers look for it, and every leaf is reported to users."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from cli.errors import explain
from cli.exit_codes import ExitCode
from config.errors import CrmSweepError
from jobs.words import errors

ROOT = Path(__file__).parents[2]
DRAWN = re.findall(r"^ {4}[│ ]*[├└]─ (\w+)", errors.__doc__ or "", re.MULTILINE)


def defined(*packages: str) -> dict[str, type[CrmSweepError]]:
    """Return the errors defined in the modules of some packages, by name."""
    found: dict[str, type[CrmSweepError]] = {}
    for path in (path for package in packages for path in (ROOT / package).rglob("*.py")):
        module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        classes = [thing for _, thing in inspect.getmembers(module, inspect.isclass)]
        own = [thing for thing in classes if issubclass(thing, CrmSweepError) and thing.__module__ == module.__name__]
        found.update((thing.__name__, thing) for thing in own)
    return found


def test_the_drawing_has_every_error_once() -> None:
    assert sorted(DRAWN) == sorted(set(defined("config", "jobs")) - {"CrmSweepError"})


@pytest.mark.parametrize("name", DRAWN)
def test_the_drawing_says_where_an_error_is(name: str) -> None:
    [line] = [line for line in (errors.__doc__ or "").splitlines() if re.search(rf"─ {name}\b", line)]
    place = re.search(r"\w+/\w+\.py", line)
    file = Path(inspect.getfile(defined("config", "jobs")[name])).relative_to(ROOT)
    assert str(file).removeprefix("jobs/") == (place[0] if place else "words/errors.py")


def test_the_command_line_tells_an_error_that_it_has_no_row_for() -> None:
    assert explain(CrmSweepError("what was wrong")) == ("what was wrong", ExitCode.BAD_INPUT)
