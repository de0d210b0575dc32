"""A ratio falls when it is lower than repeated runs have differed; the recorded file says how much that is."""

from pathlib import Path

import pytest

from bench import check, recorded
from bench.recorded import Recorded

STEADY = Recorded(ratio=0.60, lowest=0.59, highest=0.61, runs=5, tolerance=0.10)


def test_a_tolerance_is_twice_the_largest_distance_from_the_median() -> None:
    assert recorded.of_runs([0.50, 0.46, 0.52]) == Recorded(0.50, 0.46, 0.52, 3, 0.16)


def test_runs_that_agree_leave_a_twentieth_all_the_same() -> None:
    assert recorded.of_runs([0.5, 0.5]).tolerance == 0.05


@pytest.mark.parametrize(("ratio", "word"), [(0.53, "FELL"), (0.55, "ok"), (0.60, "ok"), (0.65, "ok"), (0.67, "rose")])
def test_a_row_falls_below_its_tolerance_and_not_before(ratio: float, word: str) -> None:
    assert recorded.verdict(ratio, STEADY) == word
    assert recorded.fallen({"row": ratio}, {"row": STEADY}) == (["row"] if word == "FELL" else [])


def test_a_row_that_was_never_recorded_cannot_fall() -> None:
    assert recorded.fallen({"new": 0.01}, {"row": STEADY}) == []
    assert recorded.verdict(0.01, None) == "not recorded yet"


def test_what_was_written_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "recorded.toml"
    recorded.write(file, {"zero-100-cpu": STEADY, "polls": STEADY})
    assert recorded.read(file) == {"zero-100-cpu": STEADY, "polls": STEADY}


@pytest.mark.parametrize("text", [None, "ratio = 3", "[row]\nspeed = 3", "row"])
def test_a_file_that_is_missing_or_something_else_is_named(text: str | None, tmp_path: Path) -> None:
    file = tmp_path / "recorded.toml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(RuntimeError, match=r"recorded\.toml.*--record makes it"):
        recorded.read(file)


def test_every_row_of_the_command_is_recorded() -> None:
    rows = [f"{case}-{what}" for case in check.CASES for what in ("speed", "cpu")]
    assert list(recorded.read(Path(check.__file__).with_name("recorded.toml"))) == [*rows, "polls"]
