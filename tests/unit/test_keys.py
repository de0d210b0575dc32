"""Every key that can be made is in the catalogue once, and jobs/store/keys.py alone spells the parts of one."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs.store import keys
from jobs.store.catalogue import CATALOGUE

ROOT = Path(__file__).parents[2]
#: What may not spell a key. Tests may, where they are about the raw key.
PACKAGES = ("config", "jobs", "worker", "web", "cli", "chaos", "bench", "simulator", "tools")
PYTHON = sorted(
    path for package in PACKAGES for path in (ROOT / package).rglob("*.py") if path != ROOT / "jobs/store/keys.py"
)

#: Every prefix and suffix, and what stands in a prefix behind the program's name.
CONSTANTS = {name: value for name, value in vars(keys).items() if name.isupper() and isinstance(value, str)}
PARTS = {value.removeprefix(keys.PREFIX) for value in CONSTANTS.values()} - {""}


def kinds_of(key: str) -> list[str]:
    return [entry.pattern for entry in CATALOGUE if entry.matches(key)]


def test_no_kind_of_key_is_listed_twice() -> None:
    assert [kinds_of(re.sub(r"\{\w+\}", "x", entry.pattern)) for entry in CATALOGUE] == [
        [entry.pattern] for entry in CATALOGUE
    ]


def test_every_kind_of_key_has_a_writer_and_an_end() -> None:
    for entry in CATALOGUE:
        assert entry.scripts or entry.modules, entry.pattern
        assert entry.lives, entry.pattern
        assert list(entry.scripts) == sorted(set(entry.scripts)), entry.pattern
        assert list(entry.modules) == sorted(set(entry.modules)), entry.pattern


def test_a_key_of_one_kind_is_not_of_another() -> None:
    assert kinds_of("crm-sweep:job:a:items") == ["crm-sweep:job:{id}:items"]
    assert kinds_of("crm-sweep:job:a") == ["crm-sweep:job:{id}"]
    assert kinds_of("crm-sweep:job:a:b") == kinds_of("crm-sweep:job:") == kinds_of("other") == []
    assert kinds_of("arq:job:wake:main:1") == ["arq:job:{id}"]


@pytest.mark.parametrize(
    "key",
    [
        keys.QUEUE,
        keys.FORMAT,
        keys.JOBS,
        keys.FINISHED,
        keys.WORKERS,
        keys.KNOWN_PORTALS,
        keys.JOBS_INDEXED,
        keys.jobs_in("running"),
        keys.staging("t"),
        keys.draft("t"),
        keys.session("h"),
        keys.job("j"),
        keys.segments("j"),
        keys.ledger("j", 3),
        keys.items("j"),
        keys.history("j"),
        keys.receipts("j"),
        keys.due_put("j"),
        keys.due_look_up("j"),
        keys.portal("p"),
        keys.active("p"),
        keys.waiting("p"),
        keys.leases("p"),
        keys.claims("p"),
        keys.stats("p"),
        keys.answers("p"),
        keys.faults("p"),
        keys.webhook("w"),
        keys.events("w", "j"),
        keys.due_events("w"),
        keys.sending("w"),
        keys.unsent("w"),
        keys.deliveries("w"),
        keys.configurations("p"),
        keys.token("p"),
        keys.login("p"),
        keys.login_tries("p"),
        keys.login_refused("p", "f"),
    ],
)
def test_keys_that_python_makes_are_listed(key: str) -> None:
    assert len(kinds_of(key)) == 1


@pytest.mark.parametrize("name", keys.PARTS_OF_A_JOB)
def test_what_lua_makes_of_the_key_of_a_job_is_listed(name: str) -> None:
    part = getattr(keys, name)
    assert len(kinds_of(keys.job("j") + (f"{part}3" if part.endswith(":") else part))) == 1


@pytest.mark.parametrize("name", keys.PARTS_OF_A_PORTAL)
def test_what_lua_makes_of_the_key_of_a_portal_is_listed(name: str) -> None:
    assert len(kinds_of(keys.portal("p") + getattr(keys, name))) == 1


@pytest.mark.parametrize("name", keys.PARTS_OF_A_WEBHOOK)
def test_what_lua_makes_of_the_key_of_a_webhook_is_listed(name: str) -> None:
    part = getattr(keys, name)
    assert len(kinds_of(keys.webhook("w") + (f"{part}j" if part.endswith(":") else part))) == 1


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_file_spells_a_part_of_a_key(path: Path) -> None:
    for text in texts_of(path):
        ends = [part for part in PARTS if text.endswith(part) or (part.endswith(":") and part in text)]
        assert not ends, f"{text!r}: its place is jobs/store/keys.py"
        assert not text.startswith(f"{keys.PREFIX}:") or " " in text, f"{text!r}: its place is jobs/store/keys.py"


def texts_of(path: Path) -> Iterator[str]:
    """The texts in a file, docstrings aside; of an f-string, each of its parts."""
    docstrings: set[int] = set()
    for node in ast.walk(ast.parse(path.read_text())):  # a statement comes before what it consists of
        if isinstance(node, ast.Expr):
            docstrings.add(id(node.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.value


#: A channel is no key, and neither is a message's ID.
OF_KEYS = {name: part for name, part in CONSTANTS.items() if part not in {keys.NUDGE, keys.WAKE_UP}}


@pytest.mark.parametrize("part", OF_KEYS.values(), ids=OF_KEYS.keys())
def test_every_part_of_a_key_is_in_the_catalogue(part: str) -> None:
    assert any(part in entry.pattern for entry in CATALOGUE)
