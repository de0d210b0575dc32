"""The order of a parallel run."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.order import LONGEST, in_slices

ROOT = Path(__file__).parents[2]
MODULES = [*LONGEST, "tests/acceptance/test_a.py", "tests/integration/test_b.py", "tests/unit/test_c.py"]


@given(st.lists(st.sampled_from(MODULES)), st.integers(1, 8))
def test_every_test_runs_once(modules: list[str], slices: int) -> None:
    assert sorted(in_slices(modules, slices)) == list(range(len(modules)))


@pytest.mark.parametrize("slices", [1, 2, 3, 4])
def test_each_slice_begins_with_the_longest_and_ends_with_quick_ones(slices: int) -> None:
    others = [*["tests/integration/test_b.py"] * 4, *["tests/unit/test_c.py"] * (116 - len(LONGEST))]
    modules = sorted([*LONGEST, *others])  # 120, so that all slices are equal
    order = [modules[position] for position in in_slices(modules, slices)]
    size = len(modules) // slices
    for number in range(slices):
        assert order[number * size] == LONGEST[number]
        assert order[(number + 1) * size - 1] == "tests/unit/test_c.py"


def test_the_tests_of_a_module_stay_together() -> None:
    modules = ["tests/integration/test_b.py", "tests/acceptance/test_a.py"] * 5
    assert [modules[position] for position in in_slices(modules, 2)] == sorted(modules)


@pytest.mark.parametrize("module", LONGEST)
def test_a_long_module_exists(module: str) -> None:
    assert (ROOT / module).is_file()
