"""The fields of a job's hash that tell of its selection, its survey and its plan, read and written in one place."""

from collections.abc import Mapping

import msgspec
from redis.asyncio import Redis

from jobs.plan.summary import Plan, Planning, PlanWarning, SampleContact, Selection
from jobs.store import keys
from jobs.store.times import iso
from jobs.words.filters import Filter
from jobs.words.verdicts import Verdict


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """What a plan says besides its digest and its times, as kept in the field `plan`."""

    portal_total: int
    counts: dict[Verdict, int]
    share: float
    calls: int
    estimate_s: tuple[float, float]
    warnings: tuple[PlanWarning, ...] = ()

    def json(self) -> str:
        """Return them as they are kept."""
        return msgspec.json.encode(self).decode()


_findings = msgspec.json.Decoder(Findings).decode
_sample = msgspec.json.Decoder(tuple[SampleContact, ...]).decode


def read_selection(facts: Mapping[str, str]) -> Selection:
    """Return how a job's contacts were chosen.

    Args:
        facts: the fields of its hash.
    """
    kept = facts.get("filter")
    return Selection(kind="filter", filter=Filter.from_json(kept.encode())) if kept else Selection(kind="list")


def read_plan(facts: Mapping[str, str]) -> Plan | None:
    """Return a job's plan, without its sample; None before it stands, and for a job that needs none.

    Args:
        facts: the fields of its hash.
    """
    if "plan_digest" not in facts:
        return None
    findings = _findings(facts["plan"])
    return Plan(
        digest=facts["plan_digest"],
        made_at=iso(int(facts["plan_made_ms"])),
        expires_at=iso(int(facts["plan_expires_ms"])),
        **msgspec.structs.asdict(findings),
    )


def planning_facts(planning: Planning) -> dict[str, str]:
    """Return the fields in which the progress of a survey is kept."""
    facts = {
        "survey_way": planning.way,
        "survey_read": planning.contacts_read,
        "survey_expected": planning.contacts_expected,
        "survey_selected": planning.contacts_selected,
        "survey_calls": planning.calls,
    }
    return {name: str(value) for name, value in facts.items() if value is not None}


PLANNING_FACTS = ("survey_way", "survey_read", "survey_expected", "survey_selected", "survey_calls")
"""Those fields."""


def read_planning(facts: Mapping[str, str]) -> Planning | None:
    """Return how far a job's survey is; None while none is under way.

    Args:
        facts: the fields of its hash.
    """
    if "survey_calls" not in facts:
        return None
    expected, selected, way = (facts.get(f"survey_{name}") for name in ("expected", "selected", "way"))
    return Planning(
        way="listing" if way == "listing" else "look_ups" if way else None,
        contacts_read=int(facts.get("survey_read", 0)),
        contacts_expected=int(expected) if expected else None,
        contacts_selected=int(selected) if selected else None,
        calls=int(facts["survey_calls"]),
    )


async def read_sample(redis: Redis, job_id: str) -> tuple[SampleContact, ...] | None:
    """Read the sample of a job's plan; None if none is kept, or no longer."""
    kept = await redis.execute_command("GET", keys.sample(job_id))
    return _sample(kept) if kept else None
