"""Whether a contact on the portal is the one that a call of ours created, although its answer was lost. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any

from restore.calls import Call
from restore.record import Record


def key_of_call(call: Call) -> bytes:
    """Return what identifies the contact that a creating call makes, as 16 bytes.

    Only what the portal stores in its first step: the other steps may have failed.
    """
    body = call.body
    if "companyName" in body:
        return _key("company", body["companyName"], body["about"], body["shareType"])
    return _key(
        "person",
        body["firstName"],
        body["lastName"],
        body["jobTitle"],
        body["about"],
        body["companyId"],
        body["shareType"],
    )


def key_of_contact(found: Record) -> bytes:
    """Return the same of a contact that is there."""
    if found.is_company:
        return _key("company", found.name, found.about, found.share_type)
    return _key("person", found.name, found.last_name, found.job_title, found.about, found.company, found.share_type)


def is_untouched(found: Record) -> bool:
    """Check whether nobody has done anything with the contact since it was created.

    A contact that a call of ours created has no details, tags, stage or links before the calls that follow.
    """
    return not (found.details or found.tags or found.stage)


def is_made_by(call: Call, found: Record) -> bool:
    """Check whether a contact is what a creating call makes, or the part of it that the portal got done.

    Args:
        call: the call whose answer was lost.
        found: a contact that is there.
    """
    sent = {item["key"]: item["value"] for item in call.body.get("customFieldList", ())}
    return (
        is_untouched(found)
        and key_of_contact(found) == key_of_call(call)
        and all(_same(sent.get(number), value) for number, value in found.custom_fields.items())
    )


def _key(*parts: Any) -> bytes:
    # Blanks do not count: the portal trims some texts, and taking a contact of ours for another one creates it twice.
    text = "\0".join(" ".join(str(part).split()) for part in parts)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _same(sent: object, found: str) -> bool:
    return sent is not None and " ".join(str(sent).split()) == " ".join(found.split())


def best(call: Call, contacts: Mapping[int, Record]) -> Record | None:
    """Return the contact that a creating call made; the oldest if there are several, None if there is none."""
    return next((found for _, found in sorted(contacts.items()) if is_made_by(call, found)), None)
