"""The pictures of docs/benchmarks.md show the figures of its tables."""

import json
import re
import statistics
from pathlib import Path
from typing import Any

import pytest

from bench import charts, pictures, plots
from bench.md_tables import Figure, figures, tables_below
from tests.support.documents import ROOT

PAGE = (ROOT / "docs" / "benchmarks.md").read_text()
IMAGES = ROOT / "docs" / "images"

SPEED = """
## Speed

Words.

| portal | batch | bare loop | SAQ | crm-sweep |
|---|--:|--:|--:|--:|
| answers immediately | 1000 | 1.00 | \u2013 | **0.64** (0.56\u20130.67) |

## Memory
"""


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        ("0.64 (0.56\u20130.67)", [Figure("0.64 (0.56\u20130.67)", 0.64, 0.56, 0.67)]),
        ("0.47 / 0.40", [Figure("0.47", 0.47), Figure("0.40", 0.40)]),
        ("8,000 per second", [Figure("8,000", 8000.0)]),
        ("\u2013", []),
    ],
)
def test_numbers_of_a_cell_are_read_with_their_range(cell: str, found: list[Figure]) -> None:
    assert figures(cell) == found


def test_a_table_is_found_below_its_heading_and_not_below_the_next() -> None:
    [table] = tables_below(SPEED, "Speed")
    assert table.column("crm") == ["0.64 (0.56\u20130.67)"]
    with pytest.raises(LookupError, match="no table below 'Memory'"):
        tables_below(SPEED, "Memory")
    with pytest.raises(LookupError, match="no column begins with 'Celery'"):
        table.column("Celery")


def test_a_variant_that_was_not_measured_has_no_bar() -> None:
    [panel] = charts.CHARTS["speed"](SPEED).panels
    assert panel.title == "answers immediately, batches of 1000"
    assert [(bar.label, bar.figure.value, bar.ours) for bar in panel.bars] == [
        ("bare loop", 1.0, False),
        ("crm-sweep", 0.64, True),
    ]


@pytest.mark.parametrize("name", charts.CHARTS)
def test_a_picture_belongs_to_the_table_of_today(name: str) -> None:
    chart, drawn = charts.of_page(PAGE)[name], (IMAGES / f"{name}.svg").read_text()
    assert f"figures {chart.digest}" in drawn, "a table has changed: make bench-report"
    for panel in chart.panels:
        assert all(bar.figure.text in drawn for bar in panel.bars)


def test_the_flame_graphs_are_those_of_the_table() -> None:
    table = tables_below(PAGE, "Where the time of a call goes")[0]
    for batch, worker_us in zip(table.column("contacts"), table.column("worker"), strict=True):
        assert f"batches of {batch}: {worker_us} µs per call" in (IMAGES / f"profile-{batch}.svg").read_text()


def test_every_picture_is_on_the_page_and_told_in_words() -> None:
    shown = dict(re.findall(r"!\[([^\]]+)\]\(images/([^)]+)\)", PAGE))
    assert sorted(shown.values()) == sorted(path.name for path in IMAGES.iterdir())
    assert all(len(alternative) > 30 for alternative in shown)


def test_pictures_have_no_scripts_and_no_paths_of_a_machine_and_are_small() -> None:
    for path in IMAGES.iterdir():
        drawn = path.read_text()
        assert "<script" not in drawn
        assert not re.search(r"/(home|tmp|root|usr|Users)/", drawn)
        assert len(drawn) < 200_000


def result(**contacts_per_s: float) -> dict[str, Any]:
    each = {name: {"contacts": rate, "elapsed_s": 1.0} for name, rate in contacts_per_s.items()}
    return {"title": "zero", "rounds": [each, {**each, "bare": {"contacts": 200.0, "elapsed_s": 1.0}}]}


def test_results_of_the_speed_section_become_a_panel_each() -> None:
    [panel] = charts.of_speed_results([result(bare=100.0, ours=60.0)]).panels
    assert panel.bars[1].figure == Figure("0.45 (0.30-0.60)", statistics.median([0.6, 0.3]), 0.3, 0.6)
    with pytest.raises(LookupError, match="'zero' has no rounds with the bare loop"):
        charts.of_speed_results([{"title": "zero", "rounds": [{"arq": {}}]}])


def test_the_command_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "page.md"
    page.write_text(SPEED)
    assert pictures.main(["--page", str(page), "--images", str(tmp_path)]) == 1
    assert "the chart 'call': there is no heading" in capsys.readouterr().err


def test_results_do_not_replace_the_pictures_of_the_page(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        pictures.main(["zero.json"])
    assert "give --images DIR with RESULTS" in capsys.readouterr().err


def test_the_same_figures_give_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "zero.json").write_text(json.dumps(result(bare=100.0, ours=60.0)))
    drawn = []
    for _ in range(2):
        assert pictures.main([str(tmp_path / "zero.json"), "--images", str(tmp_path)]) == 0
        drawn.append((tmp_path / "speed.svg").read_bytes())
    assert drawn[0] == drawn[1]
    chart = charts.of_page(PAGE)["polls"]
    plots.write(chart, tmp_path / "polls.svg")
    assert f"figures {chart.digest}" in (tmp_path / "polls.svg").read_text()
