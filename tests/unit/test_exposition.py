"""How counters become an exposition: arithmetic that holds for whatever Redis says."""

from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from jobs.lanes.call_report import BUCKET_NAMES, LastAnswer
from jobs.store.times import iso
from jobs.view.backlog import Backlog
from jobs.view.portal import PortalView
from tests.support.samples import PORTAL_VIEW
from web.ops.exposition import Reading, achieved, render

NOW_MS = 1_763_900_000_000
EMPTY = Backlog(at_ms=NOW_MS, portals={}, ended=0, queue=0, workers=0)

counts_by_bucket = st.dictionaries(st.sampled_from(BUCKET_NAMES), st.integers(0, 10**12))


def view(*ages_s: float) -> PortalView:
    """Return a portal that answered this many seconds ago."""
    answers = tuple(LastAnswer(iso(round(NOW_MS - age_s * 1000)), "job", "put", 50, 20, 200, "ok") for age_s in ages_s)
    return msgspec.structs.replace(PORTAL_VIEW, last_answers=answers)


@settings(deadline=None)
@given(counts_by_bucket, st.integers(0, 10**12))
def test_the_histogram_is_cumulative_and_ends_with_its_count(buckets: dict[str, int], total_ms: int) -> None:
    stats = {f"seconds:put:{name}": count for name, count in buckets.items()} | {"ms_sum:put": total_ms}
    text = render(Reading(EMPTY, [view()], {"main": stats})).decode()
    [family] = [one for one in text_string_to_metric_families(text) if one.name == "crm_sweep_portal_request_seconds"]
    of_put = [sample for sample in family.samples if sample.labels["call"] == "put"]
    shown = [sample.value for sample in of_put if sample.name.endswith("_bucket")]
    assert [sample.labels["le"] for sample in of_put if "le" in sample.labels] == list(BUCKET_NAMES)
    assert all(before <= after for before, after in pairwise(shown))
    by_name = {sample.name: sample.value for sample in of_put}
    assert by_name["crm_sweep_portal_request_seconds_count"] == shown[-1] == sum(buckets.values())
    assert by_name["crm_sweep_portal_request_seconds_sum"] == total_ms / 1000


@given(st.text(max_size=60), st.integers(0, 10**9))
def test_whatever_is_in_the_hash_the_exposition_can_be_read(word: str, count: int) -> None:
    text = render(Reading(EMPTY, [view()], {"main": {f"calls:put:{word}": count, word: count}})).decode()
    families = {family.name: family for family in text_string_to_metric_families(text)}
    puts = [one.value for one in families["crm_sweep_portal_requests"].samples if one.labels["call"] == "put"]
    assert sum(puts) >= count


def test_the_rate_achieved_is_that_of_the_last_minute() -> None:
    assert achieved(view(), NOW_MS) == 0
    assert achieved(view(5), NOW_MS) == 1 / 60
    assert achieved(view(1, 21, 41, 61, 81), NOW_MS) == 3 / 60, "older answers do not count"
    slow = view(*range(0, 100, 5))  # twenty of them, a call every five seconds
    assert round(achieved(slow, NOW_MS), 2) == round(13 / 60, 2)


def test_the_rate_achieved_is_that_of_the_remembered_calls_where_those_came_faster() -> None:
    fast = view(*(0.1 * number for number in range(1, 21)))
    assert round(achieved(fast, NOW_MS), 2) == 10.0


def test_the_rate_achieved_falls_when_nothing_is_answered_any_more() -> None:
    rates = [achieved(view(*(gone_s + 0.1 * number for number in range(1, 21))), NOW_MS) for gone_s in (0, 10, 50, 100)]
    assert rates == sorted(rates, reverse=True)
    assert rates[-1] == 0
    assert rates[0] > 5 * rates[1] > 0


@given(st.lists(st.floats(-5, 1000), max_size=20))
def test_the_rate_achieved_is_never_absurd(ages_s: list[float]) -> None:
    assert 0 <= achieved(view(*sorted(ages_s)), NOW_MS) <= 20 / 0.001
