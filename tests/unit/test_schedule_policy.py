"""Which plans are approved without a person: the table of decisions, and its limits as properties."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from config.settings import Portal, Schedule
from jobs.bundles.facts import read_bundle
from jobs.plan.summary import Plan, PlanWarning, Selection
from jobs.schedules.policy import HARMLESS, Case, Hold, decide
from jobs.words.filters import Filter
from jobs.words.states import State
from jobs.words.verdicts import Verdict
from tests.support.samples import a_job

SCHEDULE: dict[str, Any] = {
    "name": "nightly",
    "portal": "main",
    "filter": {"tags": ["trash"]},
    "cron": "0 2 * * *",
    "max_contacts": 100,
    "max_share": 0.1,
}


def case(
    *,
    deletable: int = 100,
    others: int = 0,
    portal_total: int = 10_000,
    warnings: tuple[str, ...] = (),
    stopped: bool = False,
    selection: Filter | None = None,
    second_person_above: int = 0,
    started_by: str | None = "nightly",
    keeps_records: bool = False,
    **schedule: Any,
) -> Case:
    counts = dict.fromkeys(Verdict, 0) | {Verdict.DELETABLE: deletable, Verdict.READ_ONLY: others}
    plan = Plan(
        digest="f" * 64,
        made_at="2026-11-26T02:00:00.000Z",
        expires_at="2026-11-29T02:00:00.000Z",
        portal_total=portal_total,
        counts=counts,
        share=round(deletable / portal_total, 6),
        calls=1,
        estimate_s=(1.0, 2.0),
        warnings=tuple(PlanWarning(code, 1, "…") for code in warnings),
    )
    job = a_job(
        state=State.AWAITING_APPROVAL,
        state_reason="approval",
        total=deletable + others,
        schedule=started_by,
        selection=Selection(kind="filter", filter=selection or Filter(tags=("trash",))),
        plan=plan,
        bundle=read_bundle({"undo": "1"} if keeps_records else {}),
    )
    portal = Portal(name="main", url="http://crm", token=SecretStr("t"), second_person_above=second_person_above)
    return Case(schedule=Schedule(**SCHEDULE | schedule), portal=portal, job=job, plan=plan, stopped=stopped)


@pytest.mark.parametrize(
    ("facts", "hold"),
    [
        ({}, None),
        ({"deletable": 101}, Hold.MAX_CONTACTS),
        ({"portal_total": 1000}, None),
        ({"portal_total": 999}, Hold.MAX_SHARE),
        ({"deletable": 101, "portal_total": 1000}, Hold.MAX_CONTACTS),
        ({"others": 5000}, None),
        ({"max_contacts": 0, "max_share": 0.0}, Hold.NOT_AUTOMATIC),
        ({"deletable": 1, "max_contacts": 0, "max_share": 0.0}, Hold.NOT_AUTOMATIC),
        ({"enabled": False}, Hold.DISABLED),
        ({"stopped": True}, Hold.STOPPED),
        ({"second_person_above": 99}, Hold.SECOND_PERSON),
        ({"second_person_above": 100}, None),
        ({"selection": Filter(tags=("other",))}, Hold.SCHEDULE_CHANGED),
        ({"portal": "other"}, Hold.SCHEDULE_CHANGED),
        ({"undo": True}, Hold.SCHEDULE_CHANGED),
        ({"undo": True, "keeps_records": True}, None),
        ({"keeps_records": True}, None),
        # Somebody else submitted the same filter under the ID that the schedule would have taken.
        ({"started_by": None}, Hold.SCHEDULE_CHANGED),
        ({"warnings": ("companies_with_persons",)}, Hold.WARNINGS),
        ({"warnings": ("text_search",)}, Hold.WARNINGS),
        ({"warnings": ("tag_without_effect",)}, Hold.WARNINGS),
        ({"warnings": ("blast_radius",)}, Hold.WARNINGS),
        ({"warnings": ("a_warning_of_the_future",)}, Hold.WARNINGS),
        ({"warnings": tuple(sorted(HARMLESS))}, None),
        # Where nothing is deletable, nobody is asked about nothing.
        ({"deletable": 0, "others": 5}, None),
        ({"deletable": 0, "others": 5, "max_contacts": 0, "max_share": 0.0, "enabled": False}, None),
        ({"deletable": 0, "others": 5, "warnings": ("tag_without_effect",)}, None),
        ({"deletable": 0, "others": 5, "second_person_above": 4}, Hold.SECOND_PERSON),
        ({"deletable": 0, "others": 5, "stopped": True}, Hold.STOPPED),
    ],
)
def test_the_table(facts: dict[str, Any], hold: Hold | None) -> None:
    held = decide(case(**facts))
    assert (held.why if held else None) == hold


@given(st.integers(1, 5000), st.integers(0, 5000), st.integers(1, 5000), st.sampled_from([0.01, 0.07, 0.29, 0.5, 1.0]))
def test_never_more_than_both_limits_allow(deletable: int, remaining: int, max_contacts: int, max_share: float) -> None:
    total = deletable + remaining
    held = decide(case(deletable=deletable, portal_total=total, max_contacts=max_contacts, max_share=max_share))
    # As whole numbers of hundredths, so that no rounding of ours is compared with itself.
    within = deletable <= max_contacts and 100 * deletable <= round(100 * max_share) * total
    assert (held is None) == within


def test_the_explanation_has_the_numbers() -> None:
    held = decide(case(deletable=1234))
    assert held
    assert held.explanation == "it deletes 1,234 contacts, and max_contacts of the schedule is 100"
