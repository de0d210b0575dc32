"""One tree of errors: drawn where it is looked for, and every leaf of it is told to users."""

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest

from cli.errors import explain
from config.errors import CrmSweepError
from jobs.words import errors

ROOT = Path(__file__).parents[2]
DRAWN = re.findall(r"^ {4}[│ ]*[├└]─ (\w+)", errors.__doc__ or "", re.MULTILINE)


def defined(*packages: str) -> dict[str, type[CrmSweepError]]:
    """The errors that modules of some packages define, by name."""
    found = {}
    for path in (path for package in packages for path in (ROOT / package).rglob("*.py")):
        module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name, thing in inspect.getmembers(module, inspect.isclass):
            if issubclass(thing, CrmSweepError) and thing.__module__ == module.__name__:
                found[name] = thing
    return found


def test_the_drawing_has_every_error_once() -> None:
    assert sorted(DRAWN) == sorted(set(defined("config", "jobs")) - {"CrmSweepError"})


@pytest.mark.parametrize("name", DRAWN)
def test_the_drawing_says_where_an_error_is(name: str) -> None:
    [line] = [line for line in (errors.__doc__ or "").splitlines() if re.search(rf"─ {name}\b", line)]
    place = re.search(r"\w+/\w+\.py", line)
    file = Path(inspect.getfile(defined("config", "jobs")[name])).relative_to(ROOT)
    assert str(file).removeprefix("jobs/") == (place[0] if place else "words/errors.py")


@pytest.mark.parametrize(
    "kind", defined("config", "jobs", "cli", "web", "worker").values(), ids=lambda kind: kind.__name__
)
def test_the_command_line_tells_every_error(kind: type[CrmSweepError]) -> None:
    assert explain(kind.__new__(kind, "what was wrong")) is not None or kind.__name__ == "JobStopped"
