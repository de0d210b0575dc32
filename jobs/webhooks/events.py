"""Events as they wait in the outbox, and as receivers get them.

A script writes an event in the step that makes it true (jobs/store/lua/includes/events.lua), with the facts of that
moment. The payload is made of nothing else, so it is the same at every try.
"""

import time
from typing import Any

import msgspec
from ulid import ULID

from jobs.store.times import iso, iso_or_none
from jobs.words.outcomes import Outcome


class Event(msgspec.Struct, frozen=True):
    """Something that happened.

    Attributes:
        id: the same at every try, so that receivers can tell repetitions.
        type: what happened, such as `job.completed`.
        at_ms: when, Unix milliseconds on the Redis server's clock.
        job: the job's ID; empty if it is not about a job.
        facts: fields of the job's hash at that moment.
        portal: the portal's name, if it is about a portal.
        reason: what is wrong with the portal, as in `Job.state_reason`.
    """

    id: str
    type: str
    at_ms: int
    job: str = ""
    facts: dict[str, str] = {}
    portal: str = ""
    reason: str = ""

    @property
    def portal_name(self) -> str:
        """The portal that it is about; empty for a request that named none."""
        return self.portal or self.facts.get("portal", "")


def trial_event() -> Event:
    """Return the event that `crm-sweep webhooks test` sends; it is about nothing."""
    return Event(id=f"evt_test_{ULID()}", type="webhook.test", at_ms=time.time_ns() // 1_000_000)


decode_event = msgspec.json.Decoder(Event).decode
"""Read an event from the outbox."""


def payload(event: Event) -> bytes:
    """Return the JSON document that receivers get: `type`, `timestamp` and `data`."""
    data: dict[str, Any]
    if event.job:
        data = _job(event.job, event.facts)
    elif event.portal:
        data = {"portal": event.portal, "reason": event.reason}
    else:
        data = {"message": "This is a test of crm-sweep."}
    return msgspec.json.encode({"type": event.type, "timestamp": iso(event.at_ms), "data": data})


def _job(job_id: str, facts: dict[str, str]) -> dict[str, Any]:
    """Return a job as the API shows it, as far as that does not change between two moments."""
    return {
        "id": job_id,
        "portal": facts.get("portal"),
        "label": facts.get("label"),
        "state": facts["state"],
        "state_reason": facts.get("state_reason"),
        "created_at": iso_or_none(facts.get("created_ms")),
        "started_at": iso_or_none(facts.get("started_ms")),
        "finished_at": iso_or_none(facts.get("finished_ms")),
        "total": int(facts.get("total", 0)),
        "duplicates": int(facts.get("duplicates", 0)),
        "counts": {outcome: int(facts.get(f"n:{outcome}", 0)) for outcome in Outcome},
    }
