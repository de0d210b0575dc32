"""The size of batches stays within its bounds and finds the target duration."""

from hypothesis import given
from hypothesis import strategies as st

from worker.batch_size import GROWTH, after_answer, after_overload

TARGET_S = 3.0

sizes = st.integers(1, 1000)


@given(sizes, sizes, st.floats(0, 600), sizes, st.floats(0.05, 60))
def test_an_answer_keeps_the_size_between_one_and_the_most(
    current: int, sent: int, took_s: float, most: int, target_s: float
) -> None:
    size = after_answer(current, min(sent, current), took_s, most, target_s)
    assert 1 <= size <= most
    assert size <= round(current * GROWTH) + 1


@given(sizes, sizes)
def test_overload_shrinks_and_never_below_one(sent: int, most: int) -> None:
    size = after_overload(sent, most)
    assert 1 <= size <= most
    assert size < sent or sent == 1


@given(sizes, sizes, st.floats(0, 600))
def test_a_batch_cut_short_by_the_end_of_a_list_says_nothing(current: int, most: int, took_s: float) -> None:
    if current > 1:
        assert after_answer(current, current - 1, took_s, most, TARGET_S) == min(current, most)


@given(st.integers(1, 200), st.floats(0, 2.5), st.floats(0.0005, 1.0), st.integers(1, 1000))
def test_it_converges_to_the_target_for_a_linear_latency(start: int, base_s: float, per_s: float, most: int) -> None:
    size = min(start, most)
    for _ in range(300):
        size = after_answer(size, size, base_s + per_s * size, most, TARGET_S)
    best = max(1.0, min((TARGET_S - base_s) / per_s, float(most)))
    # If the fixed cost is nearly the whole target, sizes next to the best one are as good, for lack of fractions.
    slack = max(1.0, 0.5 * TARGET_S / (TARGET_S - base_s) * 1.5)
    # Rounding stops within half of a contact per step, of which base_s / TARGET_S remains after each.
    assert abs(size - best) <= slack + 1


@given(st.integers(8, 1000), st.floats(0.001, 1.0), st.floats(0.05, 60))
def test_without_a_fixed_cost_a_batch_takes_the_target_and_no_contact_more(
    most: int, per_s: float, target_s: float
) -> None:
    size = 1
    for _ in range(100):
        size = after_answer(size, size, per_s * size, most, target_s)
    assert size == 1 or per_s * (size - 1) <= target_s
    assert size == most or per_s * (size + 1) >= target_s


@given(st.integers(1, 1000), st.integers(1, 1000), st.floats(0, 600), st.floats(0, 600))
def test_a_slower_answer_never_makes_a_larger_batch(current: int, most: int, one_s: float, other_s: float) -> None:
    quick, slow = sorted([one_s, other_s])
    assert after_answer(current, current, slow, most, TARGET_S) <= after_answer(current, current, quick, most, TARGET_S)
