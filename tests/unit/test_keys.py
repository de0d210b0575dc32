"""Every key that appears anywhere is in the catalogue of jobs/store/keys.py, and every key in the catalogue is used."""

import re
from pathlib import Path

import pytest

from jobs.store import keys

ROOT = Path(__file__).parents[2]
LUA = sorted(path for package in ("jobs", "worker") for path in (ROOT / package).rglob("*.lua"))
PACKAGES = ("config", "jobs", "worker", "web", "cli")
PYTHON = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))

CATALOGUE = re.findall(r"^\| (crm-sweep\S*) \|", keys.__doc__ or "", re.MULTILINE)


def listed(key: str) -> bool:
    """Check whether the catalogue has a key, whatever replaces {id}, {name} and so on."""
    patterns = (re.escape(entry).replace("…", ".*").replace(r"\{", "{").replace(r"\}", "}") for entry in CATALOGUE)
    return any(re.fullmatch(re.sub(r"\{\w+\}", "[^:]+", pattern), key) for pattern in patterns)


def test_the_catalogue_is_found() -> None:
    assert len(CATALOGUE) >= 15
    assert len(set(CATALOGUE)) == len(CATALOGUE)


@pytest.mark.parametrize(
    "key",
    [
        keys.QUEUE,
        keys.JOBS,
        keys.FINISHED,
        keys.WORKERS,
        keys.KNOWN_PORTALS,
        keys.staging("t"),
        keys.job("j"),
        keys.segments("j"),
        keys.ledger("j", 3),
        keys.items("j"),
        keys.history("j"),
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
        keys.configurations("p"),
    ],
)
def test_keys_that_python_makes_are_listed(key: str) -> None:
    assert listed(key)


@pytest.mark.parametrize("name", keys.PARTS_OF_A_JOB)
def test_what_lua_makes_of_the_key_of_a_job_is_listed(name: str) -> None:
    part = getattr(keys, name)
    assert listed(keys.job("j") + (f"{part}3" if part.endswith(":") else part))


@pytest.mark.parametrize("name", keys.PARTS_OF_A_PORTAL)
def test_what_lua_makes_of_the_key_of_a_portal_is_listed(name: str) -> None:
    assert listed(keys.portal("p") + getattr(keys, name))


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_other_file_spells_a_key_out(path: Path) -> None:
    if path.name != "keys.py":
        code = re.sub(r'""".*?"""', "", path.read_text(), flags=re.DOTALL)
        for key in re.findall(r"""["'](crm-sweep:[^"'\s]*)["']""", code):
            assert listed(key), key


def test_nothing_in_the_catalogue_is_a_leftover() -> None:
    everything = "\n".join(path.read_text() for path in LUA + [path for path in PYTHON if path.name != "keys.py"])
    helpers = (ROOT / "jobs" / "store" / "keys.py").read_text().partition('PREFIX = "')[2]
    for entry in CATALOGUE:
        last = re.sub(r"\{\w+\}|…", "", entry.rpartition(":")[2] if ":" in entry else entry) or entry.split(":")[-2]
        assert last in everything or last in helpers, entry
