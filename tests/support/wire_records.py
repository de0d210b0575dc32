"""From what the simulated portal shows of a contact to the form in which its truth tells the same."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from simulator.details import KINDS


def from_wire(shown: dict[str, Any], deals: Iterable[dict[str, Any]] = (), cases: Iterable[dict[str, Any]] = ()) -> Any:
    """Turn an element of the listing, with the opportunities and cases that name it, into a canonical record.

    Only what the portal shows is in it: no dates of changes, no contact type, and access of private contacts alone.
    """
    contact_id = shown["id"]
    record = {
        "id": contact_id,
        "kind": "company" if shown["isCompany"] else "person",
        "display_name": shown["displayName"],
        "first_name": shown.get("firstName", ""),
        "last_name": shown.get("lastName", ""),
        "company_name": shown.get("companyName", ""),
        "title": shown.get("title", ""),
        "about": shown["about"],
        "industry": shown.get("industry"),
        "currency": shown["currency"] and shown["currency"]["abbreviation"],
        "stage": shown.get("contactStatus", {"id": 0})["id"],
        "share_type": shown["shareType"],
        "details": sorted((_detail(item) for item in shown["commonData"]), key=_in_order),
        "addresses": sorted((_address(item) for item in shown.get("addresses", [])), key=repr),
        "custom_fields": [
            {"id": item["id"], "label": item["label"], "type": item["fieldType"], "value": item["fieldValue"]}
            for item in shown["customFields"]
        ],
        "tags": shown.get("tags", []),
        "created": datetime.fromisoformat(shown["created"]).replace(tzinfo=None).isoformat(),
        "created_by": shown["createBy"]["id"],
        "company_id": shown["company"]["id"] if "company" in shown else None,
        "opportunities": [
            {"id": deal["id"], "main": main, "member": member}
            for deal in sorted(deals, key=lambda deal: deal["id"])
            if (main := deal.get("contact", {"id": 0})["id"] == contact_id)
            | (member := contact_id in [one["id"] for one in deal["members"]])
        ],
        "cases": sorted(case["id"] for case in cases if contact_id in [one["id"] for one in case["members"]]),
    }
    if shown["isPrivate"]:
        record["access"] = [user["id"] for user in shown["accessList"]]
    return record


def comparable(record: dict[str, Any], wire: dict[str, Any]) -> dict[str, Any]:
    """Return the part of a canonical record that a record from the wire has, in its form."""
    same = {name: record[name] for name in wire}
    same["created"] = datetime.fromisoformat(record["created"]).replace(tzinfo=None).isoformat()
    same["addresses"] = sorted(record["addresses"], key=repr)
    return same


def _detail(item: dict[str, Any]) -> dict[str, Any]:
    return {
        "kind": KINDS[item["infoType"]],
        "category": item["categoryName"],
        "data": item["data"],
        "primary": item["isPrimary"],
    }


def _in_order(detail: dict[str, Any]) -> tuple[Any, ...]:
    kind = KINDS.index(detail["kind"])
    categories = ("Home", "Work", "Mobile" if kind == 0 else "Other", "Fax", "Direct", "Other")
    return kind, categories.index(detail["category"]), detail["data"], detail["primary"]


def _address(item: dict[str, Any]) -> dict[str, Any]:
    parts = {name: item[name] for name in ("street", "city", "state", "zip", "country")}
    return parts | {"category": item["categoryName"], "primary": item.get("isPrimary", False)}
