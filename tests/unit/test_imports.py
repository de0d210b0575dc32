"""Imports run one way: between packages, between the rooms of `jobs` and `web`, and from tests to what they share."""

import ast
import functools
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

#: What each package may import of ours, besides itself. `tools` makes pages of docs/ and may import everything. What
#: users run imports neither it nor tests and benchmarks; what measures and tortures the program imports no tests.
MAY_IMPORT: dict[str, set[str]] = {
    "config": set(),
    "jobs": {"config"},
    "worker": {"jobs", "config"},
    "restore": {"worker", "jobs", "config"},
    "web": {"jobs", "config"},
    "cli": {"web", "restore", "worker", "jobs", "config", "simulator"},
    "simulator": set(),
    "tools": {"cli", "web", "restore", "worker", "jobs", "config"},
    "bench": {"cli", "web", "restore", "worker", "jobs", "config", "simulator"},
    "chaos": {"bench", "cli", "web", "restore", "worker", "jobs", "config", "simulator"},
}
OURS = {*MAY_IMPORT, "tests"}

#: The rooms of a package from the ground up: each can import itself and those before it.
ROOMS = {
    "jobs": (
        "words",
        "store",
        "intake",
        "ledger",
        "plan",
        "bundles",
        "receipts",
        "lanes",
        "arq_messages",
        "webhooks",
        "view",
        "accept",
        "steering",
        "schedules",
    ),
    "web": ("http", "live", "ops", "api", "page", "app", "server"),
}
FILES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
IN_ROOMS = [path for path in FILES if path.relative_to(ROOT).parts[0] in ROOMS and path.name != "__init__.py"]


@functools.cache
def imported(path: Path) -> set[str]:
    """Return the modules that a file imports anywhere, including inside functions and only for type checking."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written out in full"
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_imports_only_packages_below_its_own(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    assert {name.split(".")[0] for name in imported(path)} & OURS <= MAY_IMPORT[package] | {package}


@pytest.mark.parametrize("path", IN_ROOMS, ids=name_of)
def test_a_file_imports_only_rooms_below_its_own(path: Path) -> None:
    package, room, *_ = path.relative_to(ROOT).with_suffix("").parts
    rooms = ROOMS[package]
    used = {name.split(".")[1] for name in imported(path) if name.split(".")[0] == package}
    assert used <= set(rooms[: rooms.index(room) + 1])


@pytest.mark.parametrize("path", TESTS, ids=name_of)
def test_what_tests_share_is_in_support_and_fixtures(path: Path) -> None:
    of_tests = {name.split(".")[1] for name in imported(path) if name.startswith("tests.")}
    assert of_tests <= {"conftest", "support"}


def test_every_package_and_every_room_was_looked_at() -> None:
    seen = {path.relative_to(ROOT).parts[0] for path in FILES}
    assert seen == set(MAY_IMPORT)
    assert {path.parent.name for path in TESTS} == {"tests", "unit", "integration", "acceptance", "support"}
    for package, rooms in ROOMS.items():
        on_disk = {
            path.relative_to(ROOT / package).with_suffix("").parts[0]
            for path in IN_ROOMS
            if path.is_relative_to(ROOT / package)
        }
        assert on_disk == set(rooms)
