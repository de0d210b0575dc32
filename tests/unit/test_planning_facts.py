"""The progress of a survey, from the worker that makes it to those who look at the job."""

import pytest

from jobs.plan.facts import PLANNING_FACTS, planning_facts, read_planning
from jobs.plan.summary import Planning


@pytest.mark.parametrize(
    "planning",
    [
        Planning(way=None, contacts_read=0, contacts_expected=None, contacts_selected=None, calls=1),
        Planning(way="look_ups", contacts_read=7, contacts_expected=9, contacts_selected=None, calls=2),
        Planning(way="listing", contacts_read=2000, contacts_expected=9000, contacts_selected=0, calls=3),
        Planning(way="listing", contacts_read=2000, contacts_expected=9000, contacts_selected=140, calls=3),
    ],
)
def test_what_is_kept_is_what_is_read(planning: Planning) -> None:
    facts = planning_facts(planning)
    assert set(facts) <= set(PLANNING_FACTS), "so that it is forgotten with the survey"
    assert read_planning(facts) == planning


def test_without_a_survey_there_is_no_progress() -> None:
    assert read_planning({}) is None
