"""What schemathesis has to know about this API beyond its document; tests/acceptance/schemathesis.toml names this file.

Nothing here turns a check off. A document cannot say what one part of a request requires of another: what is sent here
follows these rules, except for `skip_invalid`, which makes a list valid that would otherwise be invalid. And the
document describes only one line of a ledger: a check of our own looks at all of them.
"""

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import jsonschema_rs
import schemathesis
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import TestPhase
from schemathesis.openapi.checks import RejectedPositiveData

from jobs.words.filters import tag_key

#: A portal that exists.
PORTAL = "main"

STREAMED = ("text/plain", "text/csv", "application/x-ndjson")

#: The parameters of createJob, in the address as well as in a JSON document.
PARAMETERS = ("portal", "label", "id", "priority", "column", "skip_invalid", "multiline", "plan", "undo")


@schemathesis.serializer("application/x-ndjson")
def lines(_context: schemathesis.SerializationContext, value: object) -> bytes:
    """Send a list as it is; anything but text is sent as JSON."""
    if isinstance(value, bytes):
        return value
    return (value if isinstance(value, str) else json.dumps(value)).encode()


@schemathesis.hook
def before_call(_context: schemathesis.HookContext, case: schemathesis.Case[Any], _kwargs: dict[str, Any]) -> None:
    """Follow the rules that the document cannot say."""
    match case.operation.definition.raw.get("operationId"):
        case "createJob":
            _make_agree(case)
        case "changePortal":
            _be_in_time(case)
        case "getResults":
            if str((case.query or {}).get("against_plan")).lower() == "true" and _is_valid(case):
                case.query = {name: value for name, value in case.query.items() if name != "outcome"}


def _make_agree(case: schemathesis.Case[Any]) -> None:
    """Make the parts of a submission agree with each other, and with what exists."""
    query: dict[str, Any] = dict(case.query or {})
    document: dict[str, Any] = dict(case.body) if isinstance(case.body, dict) else {}
    chosen = document if case.media_type not in STREAMED else query
    if case.media_type in STREAMED:
        # A bare list needs a portal in the address. A parameter that a document requires is required with all bodies.
        query.setdefault("portal", PORTAL)
        if case.media_type == "text/csv" and "column" in query:
            query["column"] = "contact_id"  # as the lists that the document describes call it
    # To JSON Schema, 5.0 is an integer; to this API, it is not a contact ID.
    if isinstance(ids := document.get("contact_ids"), list):
        document["contact_ids"] = ids = [_as_written(value) for value in ids]
    body = case.meta and case.meta.components.get(ParameterLocation.BODY)
    if body and body.mode.is_positive and document:
        _choose_contacts(document)
    if case.meta is not None and _is_valid(case):
        # One phase uses the simplest values: always the same portal, which does not exist, and the same ID.
        if case.meta.phase.name is TestPhase.COVERAGE and "portal" in chosen:
            chosen["portal"] = PORTAL
        # An ID that was used before gets a 409, unless the list is the same.
        if "id" in chosen:
            chosen["id"] = hashlib.sha256(repr((case.media_type, case.body)).encode()).hexdigest()[:16]
    if document:
        # The address can only repeat what the document says.
        query = {name: value for name, value in query.items() if name not in PARAMETERS or document.get(name) == value}
    # The same ID, given in one way or the other.
    if {"id"} & (query.keys() | document.keys()):
        case.headers.pop("Idempotency-Key", None)
    if query != dict(case.query or {}):
        case.query = query
    if document:  # 5 is equal to 5.0, so a change cannot be seen
        case.body = document


def _be_in_time(case: schemathesis.Case[Any]) -> None:
    """Open a portal until a time that is still to come and not far away, which a document cannot say."""
    if _is_valid(case) and isinstance(case.body, dict) and case.body.get("open_until"):
        case.body = {**case.body, "open_until": (datetime.now(UTC) + timedelta(hours=1)).isoformat()}


def _choose_contacts(document: dict[str, Any]) -> None:
    """Name contacts by a list or by a filter, not by both, and by a filter that can match something."""
    if "filter" in document and "contact_ids" in document:
        del document["filter" if len(document["contact_ids"]) % 2 else "contact_ids"]
    elif "filter" not in document:
        document.setdefault("contact_ids", [1])
    if not isinstance(chosen := document.get("filter"), dict):
        return
    asked = {name: value for name, value in chosen.items() if value and (name, value) != ("view", "all")}
    if {"created_from", "created_to"} <= asked.keys() and asked["created_from"] > asked["created_to"]:
        asked["created_from"], asked["created_to"] = asked["created_to"], asked["created_from"]
    both = {"tags", "without_tags"} <= asked.keys()
    if both and set(map(tag_key, asked["tags"])) & set(map(tag_key, asked["without_tags"])):
        del asked["without_tags"]
    if len(asked) > 1:
        asked.pop("everything", None)
    document["filter"] = asked or {"everything": True}


def _is_valid(case: schemathesis.Case[Any]) -> bool:
    """Check whether the document allows what is sent."""
    return case.meta is not None and case.meta.generation.mode.is_positive


@schemathesis.hook
def filter_failure(
    _context: schemathesis.HookContext, failure: Failure, _case: schemathesis.Case[Any], response: schemathesis.Response
) -> bool:
    """Leave out what is no failure.

    A wrong list is accepted if `skip_invalid` asked for it: the answer says how much was left out. And whether an
    approval needs a digest depends on the job.
    """
    skipped = int(response.headers.get("skipped-invalid", ["0"])[0])
    needs_digest = isinstance(failure, RejectedPositiveData) and b"problem:digest-needed" in response.content
    return not (needs_digest or (isinstance(failure, AcceptedNegativeData) and skipped))


def _as_written(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


@schemathesis.check
def every_line_is_documented(
    _context: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case[Any]
) -> None:
    """Compare each line of a ledger or a plan with the schema of a line."""
    if response.status_code != 200 or response.headers.get("content-type") != ["application/x-ndjson"]:
        return
    components = case.operation.schema.raw_schema["components"]
    line_of = "PlanLine" if case.operation.definition.raw["operationId"] == "getPlan" else "LedgerLine"
    validator = jsonschema_rs.validator_for({"$ref": f"#/components/schemas/{line_of}", "components": components})
    for line in response.text.splitlines():
        for wrong in validator.iter_errors(json.loads(line)):
            raise Failure(
                operation=case.operation.label, title=f"Not a {line_of}", message=f"{wrong.message}: {line[:200]}"
            )
