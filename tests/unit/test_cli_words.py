"""What the command line says: time spans, one-line errors, exit codes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import ConnectionError as RedisConnectionError
from typer import BadParameter

from cli.errors import explain, refused_list
from cli.exit_codes import ExitCode
from cli.output import plural, rendered
from cli.summary import duration, standing, summary, time_left
from config.errors import UnknownPortal
from jobs.intake.tally import BadLine, IntakeError, WayOut
from jobs.words.errors import UnknownJob
from jobs.words.states import Event, State, refused
from tests.support.samples import a_job


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (59.4, "59s"), (59.6, "1m 0s"), (200, "3m 20s"), (18600, "5h 10m"), (187200, "2d 4h")],
)
def test_time_spans_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(("eta_s", "text"), [(None, ""), (0.2, "1s left"), (7.0, "7s left")])
def test_a_job_that_is_not_done_has_time_left(eta_s: float | None, text: str) -> None:
    assert time_left(a_job(state=State.RUNNING, eta_s=eta_s)) == text


@given(st.floats(min_value=0, max_value=1e9))
def test_a_time_span_is_off_by_less_than_its_smaller_unit(seconds: float) -> None:
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    parts = re.findall(r"(\d+)([smhd])", duration(seconds))
    told = sum(int(number) * units[unit] for number, unit in parts)
    assert abs(told - seconds) <= units[parts[-1][1]]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (UnknownJob("x"), ExitCode.NOT_FOUND),
        (UnknownPortal("x", []), ExitCode.NOT_FOUND),
        (refused(State.COMPLETED, Event.PAUSE), ExitCode.BAD_INPUT),
        (RedisConnectionError("Error 111\nconnecting"), ExitCode.UNREACHABLE),
        (PermissionError(13, "Permission denied", "/x"), ExitCode.BAD_INPUT),
    ],
)
def test_errors_become_one_line_and_an_exit_code(error: BaseException, code: ExitCode) -> None:
    explained = explain(error)
    assert explained is not None
    assert explained[1] is code
    assert explained[0]
    assert "\n" not in explained[0]


def test_a_wrong_option_is_told_in_plain_words() -> None:
    explained = explain(BadParameter("Value error, 'x' is not one of 'a', 'b'.", param_hint="'--state'"))
    assert explained == ("Invalid value for '--state': 'x' is not one of 'a', 'b' (see --help)", ExitCode.BAD_INPUT)


@pytest.mark.parametrize(
    ("way_out", "option"),
    [(WayOut.SKIP_INVALID, "--skip-invalid"), (WayOut.MULTILINE, "--multiline"), (WayOut.COLUMN, "--column")],
)
def test_a_list_is_refused_with_the_option_that_would_help(way_out: WayOut, option: str) -> None:
    explained = explain(
        IntakeError("1 value is not a contact ID", (BadLine(3, "x", "not a whole number"),), 1, way_out)
    )
    assert explained is not None
    assert option in explained[0].splitlines()[-1]


@pytest.mark.parametrize(("way_out", "to_do"), [(WayOut.SKIP_INVALID, "correct the list"), (WayOut.COLUMN, "--column")])
def test_a_list_of_a_command_with_fewer_options_is_refused_with_one_that_it_has(way_out: WayOut, to_do: str) -> None:
    error = IntakeError("1 value is not a contact ID", (BadLine(3, "x", "not a whole number"),), 1, way_out)
    last = refused_list(error, "nothing was created", [WayOut.COLUMN]).splitlines()[-1]
    assert last.startswith("nothing was created; ")
    assert to_do in last
    assert "--skip-invalid" not in last


def test_a_list_that_no_option_helps_is_refused_without_one() -> None:
    bad_row = IntakeError("1 line is not a row", (BadLine(3, "x", "1 cell under a header of 2"),), 1)
    for error in (bad_row, IntakeError("there are no contact IDs in the input")):
        explained = explain(error)
        assert explained is not None
        assert "--" not in explained[0]
        assert explained[1] is ExitCode.BAD_INPUT


def test_one_of_a_thing_is_not_told_as_many() -> None:
    assert [plural(count, "line") for count in (0, 1, 2000)] == ["0 lines", "1 line", "2,000 lines"]


def test_a_bug_is_not_explained_away() -> None:
    assert explain(ValueError("x")) is None
    assert explain(RuntimeError("x")) is None


@pytest.mark.parametrize(("count", "words"), [(1, "1 duplicate left out"), (2, "2 duplicates left out")])
def test_a_single_thing_is_told_as_one(count: int, words: str) -> None:
    assert words in rendered(summary(a_job(duplicates=count)))


def test_a_command_with_a_worker_of_its_own_asks_nobody_to_start_one() -> None:
    job = a_job(state=State.QUEUED, state_reason="no_worker")
    assert standing(job) == "no_worker: no worker is running; start one with `crm-sweep worker`"
    assert standing(job, "the same command") == "no_worker: the worker of this command is about to start"
