"""docs/webhooks.md is right: its events, its example of a payload, and its receiver."""

import json
from datetime import UTC, datetime
from typing import Any, get_args

import pytest
from standardwebhooks import Webhook as Signer

from config.webhooks import EventType
from jobs.store.kept import MOST_UNSENT
from jobs.webhooks.events import Event, payload
from jobs.webhooks.outbox import MOST_AT_ONCE
from jobs.words.outcomes import Outcome
from jobs.words.reasons import NEEDS_A_PERSON
from tests.support.documents import ROOT, blocks, first_column
from tests.support.webhooks import SECRET
from worker.webhooks.post import TIMEOUT_S

PAGE = ROOT / "docs" / "webhooks.md"

FACTS = {
    "portal": "main",
    "label": "spring cleanup",
    "state": "completed",
    "created_ms": "1763899200000",
    "started_ms": "1763899201000",
    "finished_ms": "1763899400000",
    "total": "1000",
    "duplicates": "12",
    "n:deleted": "980",
    "n:presumed_deleted": "1",
    "n:not_found": "12",
    "n:refused": "7",
}
EVENT = Event(id="evt_1", type="job.completed", at_ms=1763899400000, job="01KB2M0ZX8E6T5N3V7QWRD4YHC", facts=FACTS)


def block(language: str) -> str:
    [found] = [one for one in blocks(PAGE) if one.language == language]
    return "\n".join(found.lines)


def receiver() -> Any:
    """Return the function that the page shows."""
    names: dict[str, Any] = {}
    exec(block("python"), names)  # noqa: S102 - it is our own page
    return names["receive"]


def signed(body: bytes, secret: str = SECRET) -> dict[str, str]:
    now = datetime.now(UTC)
    signature = Signer(secret).sign("evt_1", now, body.decode())
    return {
        "webhook-id": "evt_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }


def test_every_event_is_explained() -> None:
    assert first_column(PAGE, "Events") == list(get_args(EventType))


def test_every_fault_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(f"`{reason}`" in text for reason in NEEDS_A_PERSON)


def test_the_example_is_what_receivers_get() -> None:
    assert json.loads(block("json")) == json.loads(payload(EVENT))
    assert list(json.loads(payload(EVENT))["data"]["counts"]) == list(Outcome)


def test_the_receiver_takes_each_event_once(capsys: pytest.CaptureFixture[str]) -> None:
    receive, body = receiver(), payload(EVENT)
    assert [receive(body, signed(body), SECRET) for _ in range(2)] == [204, 204]
    assert capsys.readouterr().out.count("job.completed") == 1


def test_the_receiver_refuses_what_is_not_from_us(capsys: pytest.CaptureFixture[str]) -> None:
    receive, body = receiver(), payload(EVENT)
    other = "whsec_" + "A" * 32
    assert receive(body, signed(body, other), SECRET) == 401
    assert receive(body.replace(b"980", b"981"), signed(body), SECRET) == 401
    assert receive(body, signed(body) | {"webhook-timestamp": "1763899400"}, SECRET) == 401
    assert capsys.readouterr().out == ""


def test_its_numbers_are_those_in_force() -> None:
    text = " ".join(PAGE.read_text(encoding="utf-8").split())
    assert f"Answer with any 2xx within {TIMEOUT_S:g} s" in text
    assert f"At most {MOST_AT_ONCE} events are sent to a webhook at a time" in text
    assert f"No more than {MOST_UNSENT:,} events wait for one webhook" in text
