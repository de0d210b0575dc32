"""What Python and the scripts both need is written down only in Python."""

import re
from pathlib import Path

import pytest

from jobs.store import keys
from jobs.store.item_layout import DOUBTFUL, HOLES, LIST, MOST_COUNTED, RUN
from jobs.store.kept import FIRST_SAMPLE_EVERY_MS, MOST_ACTIONS, MOST_SCHEDULED_JOBS
from jobs.store.lua_constants import CONSTANTS, with_constants
from jobs.store.scripts import Script
from jobs.words.reasons import StateReason
from jobs.words.states import lua_table

ROOT = Path(__file__).parents[2]
LUA = sorted(path for package in ("jobs", "worker") for path in (ROOT / package).rglob("*.lua"))
SCRIPTS = [path for path in LUA if path.parent.name == "lua"]

#: So small or so round that they mean other things in many places.
COMMON_NUMBERS = {RUN, LIST, HOLES, DOUBTFUL, MOST_ACTIONS, MOST_SCHEDULED_JOBS, FIRST_SAMPLE_EVERY_MS}

#: A reason that has the name of a field of the job's hash.
COMMON_TEXTS = {StateReason.CANARY.value}


def code_of(path: Path) -> str:
    return re.sub(r"--.*", "", path.read_text("utf-8"))


def literals(code: str) -> set[str]:
    """Return the texts and numbers in Lua code, as they are written there; products are calculated."""
    texts = set(re.findall(r"'[^'\n]*'", code))
    products = re.findall(r"\b\d+(?: \* \d+)*\b", re.sub(r"'[^'\n]*'", "", code))
    numbers = set()
    for product in products:
        value = 1
        for factor in product.split(" * "):
            value *= int(factor)
        numbers.add(str(value))
    return texts | numbers


FORBIDDEN = {
    f"'{value}'" if isinstance(value, str) else str(value)
    for value in CONSTANTS.values()
    if value not in COMMON_NUMBERS | COMMON_TEXTS
}


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_no_lua_file_spells_out_what_python_has(path: Path) -> None:
    assert not literals(code_of(path)) & FORBIDDEN


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_no_lua_file_spells_out_a_part_of_a_key(path: Path) -> None:
    texts = [text for text in re.findall(r"'([^'\n]*)'", code_of(path)) if re.match(r":\w|crm-sweep", text)]
    assert not texts, "its place is jobs/store/keys.py"


@pytest.mark.parametrize("path", LUA, ids=lambda path: path.name)
def test_no_lua_file_has_a_constant_of_its_own_by_the_same_name(path: Path) -> None:
    own = {name for names in re.findall(r"\blocal ([A-Z][A-Z_, ]*) =", code_of(path)) for name in names.split(", ")}
    assert not own & CONSTANTS.keys()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_every_constant_that_a_script_names_is_there(path: Path) -> None:
    package = ".".join(path.relative_to(ROOT).parts[:-1])
    code = re.sub(r"--.*|'[^'\n]*'", "", Script(path.stem, package).source)
    own = {name for names in re.findall(r"\blocal ([A-Z][A-Z_, ]*) =", code) for name in names.split(", ")}
    assert set(re.findall(r"\b[A-Z][A-Z_]+\b", code)) - {"KEYS", "ARGV"} == own


def test_every_constant_is_named_somewhere() -> None:
    everything = "\n".join(code_of(path) for path in LUA)
    assert {name for name in CONSTANTS if not re.search(rf"\b{name}\b", everything)} == set()


def test_names_become_values_but_in_texts_and_comments() -> None:
    written = with_constants("return KEYS[1] .. LEASES .. 'CLAIMS' -- not CLAIMS\n")
    assert written == f"return KEYS[1] .. '{keys.LEASES}' .. 'CLAIMS' -- not CLAIMS\n"
    assert with_constants("return MOST_COUNTED\n") == f"return {MOST_COUNTED}\n"
    assert with_constants("return MOVES[1]\n") == lua_table() + "return MOVES[1]\n"
