"""Restoring a contact on a simulated portal by its calls alone, as straight as it goes: no faults, no retries."""

from typing import Any

from simulator import Portal
from simulator.details import PARTS
from tests.support.simulator_caller import Reply, call

CRM = "/api/2.0/crm"


async def restore(portal: Portal, lost: dict[str, Any], new_ids: dict[int, int]) -> int:
    """Create the contact of a canonical record again and return its new ID.

    Args:
        portal: the portal.
        lost: the record.
        new_ids: new IDs of companies that were restored before.
    """
    company = lost["kind"] == "company"
    sent = {"about": lost["about"], "shareType": lost["share_type"], "managerList": lost["access"]}
    sent["customFieldList"] = [{"key": one["id"], "value": one["value"]} for one in lost["custom_fields"][:1]]
    if company:
        sent |= {"companyName": lost["company_name"]}
    else:
        names = {"firstName": lost["first_name"], "lastName": lost["last_name"], "jobTitle": lost["title"]}
        employer = lost["company_id"]
        sent |= names | ({"companyId": new_ids.get(employer, employer)} if employer else {})
    reply = await done(portal, "POST", f"contact/{lost['kind']}", sent, 201)
    new_id = int(reply.json["response"]["id"])
    contact = f"contact/{new_id}"
    items = [
        {"infoType": one["kind"], "category": _number(one), "data": one["data"], "isPrimary": one["primary"]}
        for one in lost["details"][1:]
    ]
    for one in lost["details"][:1]:
        data = {"infoType": one["kind"], "category": one["category"], "data": one["data"], "isPrimary": one["primary"]}
        await done(portal, "POST", f"{contact}/data", data, 201)
    await done(portal, "POST", f"{contact}/batch", {"items": items}, 201)
    for one in lost["addresses"]:
        category = ("Home", "Postal", "Office", "Billing", "Other", "Work").index(one["category"])
        address = {name: one[name] for name in PARTS} | {"category": category, "isPrimary": one["primary"]}
        await done(portal, "POST", f"{contact}/addressdata", {"address": address}, 201)
    for one in lost["custom_fields"][1:]:
        path = f"{lost['kind']}/{new_id}/customfield/{one['id']}"
        await done(portal, "POST", path, {"fieldValue": one["value"]}, 201)
    for name in lost["tags"]:
        await done(portal, "POST", f"{contact}/tag", {"tagName": name}, 201)
    if lost["stage"]:
        await done(portal, "PUT", f"{contact}/status", {"contactStatusid": lost["stage"]}, 200)
    for part in lost["opportunities"]:
        await _take_part(portal, new_id, part)
    for case in lost["cases"]:
        await done(portal, "POST", f"case/{case}/contact", {"contactid": new_id}, 201)
    await done(portal, "PUT", f"{contact}/creationdate", {"creationDate": lost["created"]}, 200)
    await done(portal, "PUT", f"{contact}/lastmodifeddate", {"lastModifedDate": lost["modified"]}, 200)
    return new_id


async def _take_part(portal: Portal, contact_id: int, part: dict[str, Any]) -> None:
    if part["member"]:
        await done(portal, "POST", f"contact/{contact_id}/opportunity/{part['id']}", {}, 201)
    if part["main"]:
        reply = await done(portal, "GET", f"opportunity/{part['id']}", None, 200)
        await done(portal, "PUT", f"opportunity/{part['id']}", whole(reply.json["response"], contact_id), 200)


def whole(shown: dict[str, Any], contact_id: int) -> dict[str, Any]:
    """Return all that a change of an opportunity has to send, so that nothing but its main contact changes."""
    return {
        "contactid": contact_id,
        "title": shown["title"],
        "description": shown["description"],
        "responsibleid": shown["responsible"]["id"],
        "bidType": shown.get("bidType", 0),
        "bidValue": shown.get("bidValue", 0),
        "bidCurrencyAbbr": shown["bidCurrency"]["abbreviation"],
        "perPeriodValue": shown.get("perPeriodValue", 0),
        "stageid": shown["stage"]["id"],
        "successProbability": shown.get("successProbability", 0),
        "expectedCloseDate": shown.get("expectedCloseDate"),
        "isPrivate": shown["isPrivate"],
        "accessList": [user["id"] for user in shown.get("accessList", [])],
    }


async def done(portal: Portal, method: str, path: str, body: object, status: int) -> Reply:
    """Make a call below ``crm/`` and check its status."""
    reply = await call(portal, method, f"{CRM}/{path}", body)
    assert reply.status == status, (path, body, reply.status, reply.body)
    return reply


def _number(detail: dict[str, Any]) -> int:
    base = {"Home": 0, "Work": 1, "Other": 2}
    phone = {"Home": 0, "Work": 1, "Mobile": 2, "Fax": 3, "Direct": 4, "Other": 5}
    return (phone if detail["kind"] == "Phone" else base)[detail["category"]]
