"""Schedules in the configuration: what is accepted, and how each mistake is reported."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from config.settings import ConfigError, Schedule, load_settings
from jobs.schedules.definition import definition_of, filter_of, job_id_at, job_id_by_hand, timing_of, wrong_schedules
from jobs.words.filters import Filter
from jobs.words.job_ids import check_job_id
from tests.support.documents import ROOT, blocks

PORTAL = '[portals.main]\nurl = "http://crm"\ntoken = "tok-in-file"\n'
GOOD = {"name": "nightly", "portal": "main", "filter": {"tags": ["trash"]}, "cron": "30 2 * * *"}


def load(*schedules: Mapping[str, object]) -> tuple[Schedule, ...]:
    environ = {
        "CRM_SWEEP_PORTALS__MAIN__URL": "http://crm",
        "CRM_SWEEP_PORTALS__MAIN__TOKEN": "tok",
        "CRM_SWEEP_SCHEDULES": json.dumps(schedules),
    }
    return load_settings(None, environ, checks=[wrong_schedules]).schedules


def problem(**changes: object) -> str:
    with pytest.raises(ConfigError) as caught:
        load(GOOD | changes)
    [line] = caught.value.problems
    return line


def test_a_schedule_in_the_file_with_a_day_as_toml_has_it(tmp_path: Path) -> None:
    file = tmp_path / "crm-sweep.toml"
    file.write_text(
        PORTAL + '[[schedules]]\nname = "nightly"\nportal = "main"\ncron = "30  2 * * MON-FRI"\n'
        'timezone = "Europe/Berlin"\nmax_contacts = 500\nmax_share = 0.01\n'
        'filter = { tags = ["trash"], created_to = 2019-12-31 }\n'
    )
    [schedule] = load_settings(file, {}, checks=[wrong_schedules]).schedules
    assert (schedule.cron, schedule.timezone, schedule.max_contacts) == ("30 2 * * MON-FRI", "Europe/Berlin", 500)
    assert filter_of(schedule) == Filter.from_json({"tags": ["trash"], "created_to": "2019-12-31"})


def shown_in(page: str) -> str:
    """Return the schedule that a page shows."""
    if page.endswith(".toml"):
        lines = (ROOT / page).read_text().partition("# [[schedules]]")[2].partition("\n\n")[0].splitlines()
        return "\n".join(["[[schedules]]", *(line.removeprefix("# ") for line in lines)])
    [shown] = ["\n".join(one.lines) for one in blocks(ROOT / page) if "[[schedules]]" in one.lines]
    return shown


@pytest.mark.parametrize("page", ["docs/schedules.md", "README.md", "crm-sweep.example.toml"])
def test_the_schedules_that_pages_show_can_be_used(page: str, tmp_path: Path) -> None:
    file = tmp_path / "crm-sweep.toml"
    file.write_text(PORTAL + shown_in(page))
    [schedule] = load_settings(file, {}, checks=[wrong_schedules]).schedules
    assert str(filter_of(schedule)) == "contacts tagged trash, not tagged vip"


def test_without_limits_nothing_is_approved_automatically() -> None:
    [schedule] = load(GOOD)
    assert (schedule.max_contacts, schedule.max_share, schedule.enabled, schedule.timezone) == (0, 0, True, "UTC")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"portal": "other"}, "given 'other' in schedule 'nightly', expected the name of a configured portal"),
        ({"undo": True}, "expected `undo` switched on for portal main, or off in schedule 'nightly'"),
        ({"name": "Nightly!"}, "expected a name of 1 to 32 characters a-z, 0-9, _ and -"),
        ({"filter": {"tag": "trash"}}, "given an unknown member 'tag'; did you mean tags?"),
        ({"filter": {"tags": "trash"}}, "schedules[0].filter.tags (environment variable CRM_SWEEP_SCHEDULES): given"),
        ({"filter": {}}, "given no member that selects anything"),
        ({"filter": "trash"}, "expected a table"),
        ({"cron": "@daily"}, "given '@daily', expected five fields"),
        ({"cron": "0 0 31 2 *"}, "bad day-of-month"),
        ({"timezone": "Berlin"}, "expected an IANA time zone such as Europe/Berlin"),
        ({"max_contacts": 10}, "max_contacts and max_share together"),
        ({"max_share": 0.5}, "max_contacts and max_share together"),
        ({"max_contacts": 10, "max_share": 1.5}, "expected a number from 0 to 1"),
        ({"label": "two\nlines"}, "schedules[0].label (environment variable CRM_SWEEP_SCHEDULES): given 'two"),
        ({"priority": "high"}, "expected one of urgent, normal, background"),
        ({"crom": "x"}, "unknown setting; did you mean schedules[0].cron?"),
    ],
)
def test_a_mistake_is_named_with_its_place(changes: dict[str, object], expected: str) -> None:
    line = problem(**changes)
    assert line.startswith("schedules")
    assert "CRM_SWEEP_SCHEDULES" in line
    assert expected in line


def test_everything_has_to_be_said() -> None:
    [schedule] = load(GOOD | {"filter": {"everything": True}})
    assert filter_of(schedule).everything


def test_names_are_unique() -> None:
    with pytest.raises(ConfigError, match="'nightly' more than once"):
        load(GOOD, GOOD)


def test_a_definition_covers_everything_and_not_how_it_is_written() -> None:
    [schedule] = load(GOOD | {"filter": {"tags": ["a", "b"]}})
    [same] = load(GOOD | {"filter": {"tags": ["b", "a"]}, "cron": " 30 2  * * *"})
    assert definition_of(same) == definition_of(schedule)
    changes: list[dict[str, object]] = [
        {"filter": {"tags": ["other"]}},
        {"cron": "31 2 * * *"},
        {"timezone": "Europe/Berlin"},
        {"max_contacts": 5, "max_share": 0.5},
        {"label": "x"},
        {"priority": "urgent"},
        {"enabled": False},
    ]
    [schedule] = load(GOOD)
    definitions = {definition_of(schedule)} | {definition_of(load(GOOD | change)[0]) for change in changes}
    assert len(definitions) == 1 + len(changes)
    timings = [timing_of(load(GOOD | change)[0]) != timing_of(schedule) for change in changes]
    assert timings == [False, True, True, False, False, False, True]


def test_job_ids_are_made_of_name_and_time() -> None:
    assert job_id_at("nightly", 1_795_660_200_000) == "nightly-20261126T0230Z"
    assert job_id_by_hand("nightly", 1_795_660_200_999) == "nightly-20261126T023000Z"
    check_job_id(job_id_by_hand("x" * 32, 1_795_660_200_999))
