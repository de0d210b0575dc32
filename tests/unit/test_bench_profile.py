"""A profile says whose time each sample was, what each script took, and draws the same picture of the same samples."""

from xml.etree import ElementTree as ET

import pytest

from bench.flame_graph import draw
from bench.profile_tables import profile_of, tables
from bench.script_times import ScriptTime, by_script
from bench.stacks import Frame, by_group, group_of, own_shares, read_stacks, shares_with_callees

LOOP = "<module> (bench/ours.py:1);run (uvloop/__init__.py:48);Runner.run (asyncio/runners.py:86)"
LANE = f"{LOOP};Lane._drive (worker/lane.py:149)"
FOLDED = f"""\
<module> (bench/ours.py:1);_find_and_load (<frozen importlib._bootstrap>:1165) 500
{LOOP} 10
{LOOP};_work (bench/ours.py:80);working (worker/main.py:9) 70
{LANE};replace (dataclasses.py:1453);__create_fn__.<locals>.__init__ (<string>:2) 20
{LANE};Lane._log (worker/lane.py:441);mask_text (config/masking.py:80);sub (re/__init__.py:180) 30
{LANE};Connection.send (redis/asyncio/connection.py:593);timeout (asyncio/timeouts.py:129) 40
"""


def test_time_belongs_to_whoever_called_the_standard_library() -> None:
    assert by_group(read_stacks(FOLDED)) == {"redis-py": 0.4, "logging": 0.3, "lanes": 0.2, "event loop, sockets": 0.1}


def test_imports_and_the_start_of_the_worker_are_no_part_of_a_call() -> None:
    assert sum(read_stacks(FOLDED).values()) == 100


def test_a_function_has_time_of_its_own_and_that_of_what_it_calls() -> None:
    stacks = read_stacks(FOLDED)
    own, whole = own_shares(stacks), shares_with_callees(stacks)
    assert own["dataclass.__init__"] == 0.2
    assert (own.get("worker.lane.Lane._drive"), whole["worker.lane.Lane._drive"]) == (None, 0.9)
    assert whole["config.masking.mask_text"] == whole["re.sub"] == own["re.sub"] == 0.3


def test_a_function_that_calls_itself_is_counted_once_per_sample() -> None:
    folded = f"{LANE};mask (config/masking.py:80);mask (config/masking.py:80) 5"
    assert shares_with_callees(read_stacks(folded))["config.masking.mask"] == 1


@pytest.mark.parametrize(
    ("module", "group"),
    [
        ("worker.envelope", "reading answers, msgspec"),
        ("worker.lane", "lanes"),
        ("jobs.lanes.lease", "ledger"),
        ("jobs.view.job", "everything else"),
        ("structlog.stdlib", "logging"),
        ("redistribution", "everything else"),
    ],
)
def test_every_module_belongs_to_a_library_or_a_part_of_ours(module: str, group: str) -> None:
    assert group_of((Frame(module, "f"),)) == group


def test_scripts_are_timed_by_name_and_commands_are_not() -> None:
    entries = [
        {"command": b"EVALSHA aaaa 1 key", "duration": 10},
        {"command": b"EVALSHA aaaa 1 key", "duration": 900},  # had to wait for its core
        {"command": b"EVALSHA aaaa 1 key", "duration": 12},
        {"command": b"EVALSHA bbbbbbbbbb 0", "duration": 50},
        {"command": b"SCRIPT LOAD x", "duration": 700},
    ]
    times = by_script(entries, {"aaaa": "settle"})
    assert times == {"bbbbbbbb": ScriptTime(1, 50), "settle": ScriptTime(3, 12)}


def test_the_tables_divide_the_time_of_undisturbed_runs() -> None:
    scripts = {"settle": ScriptTime(runs=200, median_us=30.0)}
    profile = profile_of(
        batch=50, calls=100, bare_us=150.0, worker_us=400.0, redis_us=80.0, scripts=scripts, stacks=read_stacks(FOLDED)
    )
    totals, by_part, *_, by_name = [text for text in tables([profile], 20) if text.startswith("|")]
    assert "| 50 | 150 | 400 | 250 | 80 |" in totals
    assert "| redis-py | 160 (40%) |" in by_part
    assert "| settle | 2.00 x 30 = 60 |" in by_name
    assert "| connections, single commands, housekeeping | 20 |" in by_name


def test_a_flame_graph_has_a_box_per_function_as_wide_as_its_time() -> None:
    stacks = read_stacks(FOLDED)
    picture = draw(stacks, title="a < b", us_per_call=400)
    assert picture == draw(dict(reversed(stacks.items())), title="a < b", us_per_call=400)
    svg = "{http://www.w3.org/2000/svg}"
    root = ET.fromstring(picture)  # noqa: S314 - it is our own
    boxes = {box.findtext(f"{svg}title"): box for box in root.findall(f"{svg}g/{svg}rect")}
    whole = float(boxes["event loop, sockets: 400.0 µs"].attrib["width"])
    lane, log = boxes["worker.lane.Lane._drive: 360.0 µs"], boxes["worker.lane.Lane._log: 120.0 µs"]
    assert float(lane.attrib["width"]) == pytest.approx(0.9 * whole, abs=0.1)
    assert float(log.attrib["y"]) < float(lane.attrib["y"])
    assert "script" not in picture
