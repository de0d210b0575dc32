"""The arithmetic and the words of the page: bars, plots, numbers, tries, and a word for everything."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.plan.summary import Plan
from jobs.view.canary import CanaryView
from jobs.view.history import Sample
from jobs.words.errors import NotApproved
from jobs.words.filters import View
from jobs.words.outcomes import Outcome
from jobs.words.priority import Priority
from jobs.words.states import CanaryState, Event, State, allowed_events
from jobs.words.verdicts import Verdict
from web.page.bars import LEAST, WIDTH, outcome_bar, verdict_bar
from web.page.canary import Row, compare
from web.page.chart import HEIGHT, plots, round_up
from web.page.chart import WIDTH as PLOT_WIDTH
from web.page.text import THIN, code_marks, digits, down_percent, duration, number, pace, path_part, plural, share, span
from web.page.words import (
    ACTIONS,
    CANARY,
    FORBIDDEN,
    OUTCOMES,
    PRIORITIES,
    STATES,
    VERBS,
    VERDICTS,
    VIEWS,
    Tone,
    done_text,
    path_word,
)
from web.page.wrong_keys import REFILL_S, TRIES, WrongKeys

CSS = (Path(__file__).parents[2] / "web" / "page" / "static" / "page.css").read_text()


class TestWords:
    def test_every_state_outcome_and_priority_has_its_words(self) -> None:
        assert set(STATES) == set(State)
        assert set(OUTCOMES) == set(Outcome)
        assert set(PRIORITIES) == set(Priority)
        assert set(VERDICTS) == set(Verdict)
        assert set(CANARY) == set(CanaryState)
        assert set(VIEWS) == set(View)

    def test_whatever_forbids_an_approval_has_its_words(self) -> None:
        assert set(FORBIDDEN) == set(NotApproved.__subclasses__())

    def test_every_verb_that_a_state_allows_has_a_button(self) -> None:
        assert {event for state in State for event in allowed_events(state)} == set(VERBS)
        assert all(done_text(path_word(event)) for event in VERBS)
        assert path_word(Event.RETRY_FAILED) in ACTIONS

    def test_every_outcome_and_every_tone_has_one_colour_in_either_scheme(self) -> None:
        light, dark = CSS.split("@media (prefers-color-scheme: dark)")[:2]
        dark = dark.split("\n}\n")[0]
        for outcome in Outcome:
            assert f".o-{outcome} {{ --of: var(--{outcome}); }}" in CSS
            for scheme in (light, dark):
                assert len(re.findall(rf"--{outcome}: #", scheme)) == 1, outcome
        for tone in Tone:
            assert f".{tone} {{ --tone-ink: var(--{tone}-ink); --tone-ground: var(--{tone}-ground); }}" in CSS

    def test_every_verdict_has_one_colour_and_that_of_what_it_predicts(self) -> None:
        colours = {verdict: re.findall(rf"\.v-{verdict} {{ --of: var\(--(\w+)\); }}", CSS) for verdict in Verdict}
        assert colours == {
            Verdict.DELETABLE: [Outcome.DELETED],
            Verdict.READ_ONLY: [Outcome.REFUSED],
            Verdict.HAS_INVOICE: ["invoiced"],
            Verdict.ABSENT: [Outcome.NOT_FOUND],
            Verdict.PROTECTED: [Outcome.PROTECTED],
        }
        assert len(re.findall(r"--invoiced: #", CSS)) == 2

    def test_outcomes_can_be_told_apart(self) -> None:
        for scheme in CSS.split("@media (prefers-color-scheme: dark)")[:2]:
            colours = [re.search(rf"--{outcome}: (#\w+)", scheme) for outcome in Outcome]
            assert len({colour.group(1) for colour in colours if colour}) == len(Outcome)


class TestBars:
    @given(st.dictionaries(st.sampled_from(list(Outcome)), st.integers(0, 10**9)))
    def test_pieces_follow_each_other_and_what_is_there_shows(self, counts: dict[Outcome, int]) -> None:
        full = dict.fromkeys(Outcome, 0) | counts
        bar = outcome_bar(full)
        decided = {outcome for outcome, count in full.items() if count} - {Outcome.PENDING}
        assert {piece.of for piece in bar.pieces} == decided
        end = 0
        for piece in bar.pieces:
            assert piece.x == end
            assert piece.width >= LEAST
            end += piece.width
        assert end <= WIDTH
        if decided:
            assert (end == WIDTH) is (not full[Outcome.PENDING]), "full only when nothing is pending"

    @given(st.integers(0, 10**6), st.integers(0, 10**6))
    def test_a_wider_segment_has_more_contacts(self, deleted: int, failed: int) -> None:
        counts = dict.fromkeys(Outcome, 0) | {Outcome.DELETED: deleted, Outcome.FAILED: failed}
        widths = {piece.of: piece.width for piece in outcome_bar(counts).pieces}
        if widths.get(Outcome.DELETED, 0) > widths.get(Outcome.FAILED, 0) + 1:
            assert deleted > failed

    def test_the_text_says_the_same(self) -> None:
        counts = dict.fromkeys(Outcome, 0) | {Outcome.DELETED: 1, Outcome.PENDING: 1999}
        assert outcome_bar(counts).text == (
            f"1 contact deleted (<0.1{THIN}%), 1{THIN}999 contacts pending (>99.9{THIN}%)"
        )
        assert outcome_bar(dict.fromkeys(Outcome, 0)).text == "no contacts"

    @given(st.dictionaries(st.sampled_from(list(Verdict)), st.integers(0, 10**9)))
    def test_a_plan_fills_its_bar(self, counts: dict[Verdict, int]) -> None:
        bar = verdict_bar(dict.fromkeys(Verdict, 0) | counts)
        assert {piece.of for piece in bar.pieces} == {verdict for verdict, count in counts.items() if count}
        assert sum(piece.width for piece in bar.pieces) == (WIDTH if any(counts.values()) else 0)


class TestCanary:
    def test_every_outcome_and_every_verdict_is_in_one_line(self) -> None:
        counts = {outcome: 10**at for at, outcome in enumerate(Outcome)}
        predicted = {verdict: 10**at for at, verdict in enumerate(Verdict)}
        canary = CanaryView(1, 0, 0, counts, CanaryState.RUNNING)
        rows = compare(canary, a_plan(predicted))
        assert sum(row.count for row in rows) == sum(counts.values())
        assert sum(row.predicted for row in rows) == sum(predicted.values())

    def test_what_was_neither_predicted_nor_seen_is_left_out(self) -> None:
        counts = dict.fromkeys(Outcome, 0) | {Outcome.PRESUMED_DELETED: 2, Outcome.FAILED: 1}
        canary = CanaryView(3, 3, 1, counts, CanaryState.WAITING)
        plan = a_plan(dict.fromkeys(Verdict, 0) | {Verdict.DELETABLE: 90, Verdict.HAS_INVOICE: 10})
        assert compare(canary, plan) == [Row("Deleted", 90, 2), Row("Refused", 10, 0), Row("Failed", 0, 1)]
        assert compare(canary, None) == [Row("Deleted", 0, 2), Row("Failed", 0, 1)]


def a_plan(counts: dict[Verdict, int]) -> Plan:
    now = "2026-11-26T12:00:00Z"
    return Plan(
        digest="d" * 64,
        made_at=now,
        expires_at=now,
        portal_total=0,
        counts=counts,
        share=0.0,
        calls=0,
        estimate_s=(0.0, 0.0),
    )


def samples(*rows: tuple[float, int, float, int]) -> list[Sample]:
    start = datetime(2026, 11, 23, tzinfo=UTC)
    return [
        Sample((start + timedelta(seconds=at_s)).isoformat().replace("+00:00", "Z"), decided, rate, size)
        for at_s, decided, rate, size in rows
    ]


class TestPlots:
    def test_there_is_nothing_to_see_before_the_second_sample(self) -> None:
        assert plots([]) == plots(samples((0, 0, 1, 50))) == []
        assert plots(samples((5, 0, 1, 50), (5, 9, 1, 50))) == []

    def test_throughput_is_what_was_decided_in_between(self) -> None:
        throughput, rate, batch = plots(samples((0, 0, 5, 50), (10, 1000, 4, 100), (20, 1500, 2.5, 100)))
        assert (throughput.latest, rate.latest, batch.latest) == ("50", "2.5", "100")
        assert throughput.scale == ("100", "50", "0")
        assert throughput.times == (f"0{THIN}s", f"10{THIN}s", f"20{THIN}s")
        assert throughput.line == "M0.0 0.0L300.0 0.0L600.0 50.0"
        assert "between 50 and 100" in throughput.text

    @given(
        st.lists(
            st.tuples(st.floats(0, 1e6), st.integers(0, 10**9), st.floats(0, 1000), st.integers(0, 1000)), max_size=30
        )
    )
    def test_every_point_lies_in_the_box(self, rows: list[tuple[float, int, float, int]]) -> None:
        for plot in plots(samples(*sorted(rows))):
            for x, y in re.findall(r"([-\d.]+) ([-\d.]+)", plot.line):
                assert 0 <= float(x) <= PLOT_WIDTH
                assert 0 <= float(y) <= HEIGHT

    def test_a_scale_of_next_to_nothing_is_that_of_nothing(self) -> None:
        assert round_up(5e-324) == round_up(0) == 1

    @given(st.floats(1e-6, 1e12))
    def test_a_scale_ends_at_or_little_above_the_highest_value(self, value: float) -> None:
        assert value * (1 - 1e-6) <= round_up(value) <= value * 2.0001


class TestText:
    @pytest.mark.parametrize(
        ("value", "text"), [(0, "0"), (812.4, "812"), (3.5, "3.5"), (0.25, "0.25"), (12.34, "12.3"), (20.0, "20")]
    )
    def test_rates_have_as_many_digits_as_say_something(self, value: float, text: str) -> None:
        assert pace(value) == text

    @given(st.integers(0, 10**12))
    def test_a_number_keeps_its_digits(self, value: int) -> None:
        assert number(value).replace(THIN, "") == str(value)

    @given(st.integers(0, 10**9), st.integers(1, 10**9))
    def test_a_share_is_zero_or_whole_only_when_it_is(self, part: int, more: int) -> None:
        whole = part + more
        assert share(part, whole) != f"100{THIN}%"
        assert (share(part, whole) == f"0{THIN}%") is (part == 0)
        assert share(whole, whole) == f"100{THIN}%"

    @pytest.mark.parametrize(("progress", "shown"), [(0, 0), (0.004, 0), (0.42, 42), (0.9999, 99), (1.0, 100)])
    def test_nothing_unfinished_has_a_hundred_per_cent(self, progress: float, shown: int) -> None:
        assert down_percent(progress) == shown

    @pytest.mark.parametrize(
        ("seconds", "text"),
        [(0, "0 s"), (59.6, "1 m"), (200, "3 m 20 s"), (3600, "1 h"), (18600, "5 h 10 m"), (187_200, "2 d 4 h")],
    )
    def test_spans_are_written_as_people_say_them(self, seconds: float, text: str) -> None:
        assert duration(seconds).replace(THIN, " ") == text

    @pytest.mark.parametrize(
        ("seconds", "text"), [((0, 0.2), "about 0 s"), ((41, 63), "41 s to 1 m 3 s"), ((60, 60.4), "about 1 m")]
    )
    def test_a_range_of_time_says_both_ends_where_they_differ(self, seconds: tuple[float, float], text: str) -> None:
        assert span(*seconds).replace(THIN, " ") == text

    @given(st.integers(0, 10**12))
    def test_a_number_is_typed_as_it_is_shown(self, value: int) -> None:
        assert digits(f" {number(value)} ") == digits(f"{value:,}") == str(value)

    def test_words_agree_with_their_numbers(self) -> None:
        assert (plural(1, "contact"), plural(2, "contact"), plural(0, "entry", "entries")) == (
            "1 contact",
            "2 contacts",
            "0 entries",
        )

    @given(st.text())
    def test_code_marks_let_no_markup_through(self, message: str) -> None:
        shown = str(code_marks(message)).replace("<code>", "").replace("</code>", "")
        assert "<" not in shown
        assert ">" not in shown

    @given(st.text(st.characters(exclude_categories=["Cs"])))
    def test_a_part_of_an_address_stays_one_part(self, name: str) -> None:
        assert re.fullmatch(r"[A-Za-z0-9._~%-]*", path_part(name))


class TestThrottle:
    def test_so_many_wrong_keys_and_then_one_at_a_time(self) -> None:
        now = 1000.0
        wrong_keys = WrongKeys(lambda: now)
        for _ in range(TRIES):
            assert wrong_keys.wait_s("a") == 0
            wrong_keys.note("a")
        assert 0 < wrong_keys.wait_s("a") <= REFILL_S
        assert wrong_keys.wait_s("b") == 0
        now += REFILL_S
        assert wrong_keys.wait_s("a") == 0
        wrong_keys.note("a")
        assert wrong_keys.wait_s("a") > 0
        now += TRIES * REFILL_S
        assert wrong_keys.wait_s("a") == 0

    def test_it_remembers_a_bounded_number_of_addresses(self) -> None:
        wrong_keys = WrongKeys(lambda: 0.0)
        for one in range(25_000):
            wrong_keys.note(str(one))
        assert len(wrong_keys._paid_s) == 10_000
