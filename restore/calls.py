"""Which calls restore a contact: the one that creates it, and those that then give it what it had. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from restore.lost import NONE, Lost
from restore.record import ADDRESS, Detail, Record
from worker.wire import API

#: A private contact with nobody on its list is seen by CRM administrators alone.
PRIVATE, READ_WRITE = 0, 1

Method = Literal["POST", "PUT"]


@dataclass(frozen=True, slots=True)
class Call:
    """One call that changes the portal.

    Attributes:
        method: HTTP method.
        path: what follows the address of the API.
        body: the parameters.
        loses: what is lost if the portal refuses it.
    """

    method: Method
    path: str
    body: Mapping[str, Any] = field(default_factory=dict)
    loses: Lost = NONE

    @property
    def target(self) -> str:
        """Path below the base address of the portal."""
        return f"{API}/crm/{self.path}"


@dataclass(frozen=True, slots=True)
class Known:
    """What exists on the portal now; None where the portal did not say, and everything is tried.

    Attributes:
        person_fields: IDs of the custom fields of persons.
        company_fields: IDs of the custom fields of companies.
        stages: IDs of the stages.
        opportunities: IDs of the opportunities that the account sees.
        cases: IDs of the cases likewise.
    """

    person_fields: frozenset[int] | None = None
    company_fields: frozenset[int] | None = None
    stages: frozenset[int] | None = None
    opportunities: frozenset[int] | None = None
    cases: frozenset[int] | None = None

    def fields_for(self, record: Record) -> dict[int, str]:
        """Return the custom fields of the contact that still exist."""
        exist = self.company_fields if record.is_company else self.person_fields
        return {number: value for number, value in record.custom_fields.items() if exist is None or number in exist}

    def missing(self, record: Record) -> Lost:
        """Return which custom fields and stage cannot be restored because they do not exist any more."""
        return (Lost.CUSTOM_FIELDS if len(self.fields_for(record)) < len(record.custom_fields) else NONE) | (
            Lost.STAGE if record.stage and not _there(record.stage, self.stages) else NONE
        )

    def missing_links(self, record: Record) -> Lost:
        """Return which links lead to nothing any more; a forecast, as listings of the portal can miss something."""
        gone = [link for link in record.opportunities if not _there(link.id, self.opportunities)]
        return (
            (Lost.OPPORTUNITIES if gone else NONE)
            | (Lost.MAIN_CONTACT if any(link.is_main for link in gone) else NONE)
            | (Lost.CASES if any(not _there(link.id, self.cases) for link in record.cases) else NONE)
        )


def creation(record: Record, company: int, known: Known) -> Call:
    """Return the call that creates a contact.

    Args:
        record: the contact as it was.
        company: ID of the company that it will belong to; 0 for none.
        known: what exists on the portal.
    """
    body: dict[str, Any] = (
        {"companyName": record.name}
        if record.is_company
        # The portal answers 500 if there is no last name at all.
        else {
            "firstName": record.name,
            "lastName": record.last_name,
            "jobTitle": record.job_title,
            "companyId": company,
        }
    )
    body |= {"about": record.about, "shareType": record.share_type}
    if record.access:
        body["managerList"] = list(record.access)
    if fields := known.fields_for(record):
        body["customFieldList"] = [{"key": number, "value": value} for number, value in fields.items()]
    return Call("POST", f"contact/{'company' if record.is_company else 'person'}", body)


def completion(record: Record, new_id: int, known: Known) -> list[Call]:
    """Return the calls that give a created contact the rest of what it had; each can be repeated without harm.

    Details are set by the call that replaces all of them, so that repeating it doubles none. The creation date comes
    last.
    """
    about = f"contact/{new_id}"
    calls = []
    if record.details:
        kinds = {detail.kind for detail in record.details}
        loses = (Lost.ADDRESSES if ADDRESS in kinds else NONE) | (Lost.DETAILS if kinds - {ADDRESS} else NONE)
        items = [_item(detail) for detail in record.details]
        calls.append(Call("PUT", f"{about}/batch", {"items": items}, loses))
    calls += [Call("POST", f"{about}/tag", {"tagName": tag}, Lost.TAGS) for tag in record.tags]
    if record.stage and _there(record.stage, known.stages):
        calls.append(Call("PUT", f"{about}/status", {"contactStatusid": record.stage}, Lost.STAGE))
    calls += [Call("POST", f"{about}/opportunity/{link.id}", {}, Lost.OPPORTUNITIES) for link in record.opportunities]
    calls += [Call("POST", f"case/{link.id}/contact", {"contactid": new_id}, Lost.CASES) for link in record.cases]
    if record.created:
        calls.append(Call("PUT", f"{about}/creationdate", {"creationDate": record.created}, Lost.CREATED))
    return calls


def mending(record: Record, found: Record, known: Known) -> list[Call]:
    """Return the calls that give a contact what the call that created it may have failed to do.

    Creating takes the portal several steps: an error after the first one leaves a contact without its custom fields, or
    without the users who may see it.

    Args:
        record: the contact as it was.
        found: the contact as it is now.
        known: what exists on the portal.
    """
    kind = "company" if record.is_company else "person"
    calls = [
        Call("POST", f"{kind}/{found.id}/customfield/{number}", {"fieldValue": value}, Lost.CUSTOM_FIELDS)
        for number, value in known.fields_for(record).items()
        if found.custom_fields.get(number) != value
    ]
    if record.access and set(record.access) != set(found.access):
        body = {"isShared": record.share_type == READ_WRITE, "managerList": list(record.access)}
        calls.append(Call("PUT", f"contact/{found.id}/access", body, Lost.ACCESS))
    return calls


def joining(new_id: int, company: int) -> Call:
    """Return the call that lets a person belong to a company."""
    return Call("POST", f"contact/company/{company}/person", {"personid": new_id}, Lost.COMPANY)


def main_contact(opportunity: Mapping[str, Any], new_id: int) -> Call | None:
    """Return the call that makes a contact the main contact of an opportunity; None if it has another one by now.

    The portal has no call for this alone: the call sets everything else of the opportunity again, as it is.

    Args:
        opportunity: as the portal shows it, with keys in lower case.
        new_id: the contact.
    """
    if main_contact_of(opportunity):
        return None
    body = {
        "contactid": new_id,
        "title": opportunity.get("title"),
        "description": opportunity.get("description"),
        "responsibleid": _inner(opportunity, "responsible", "id"),
        "bidType": opportunity.get("bidtype") or 0,
        "bidValue": opportunity.get("bidvalue") or 0,
        "bidCurrencyAbbr": _inner(opportunity, "bidcurrency", "abbreviation"),
        "perPeriodValue": opportunity.get("perperiodvalue") or 0,
        "stageid": _inner(opportunity, "stage", "id"),
        "successProbability": opportunity.get("successprobability") or 0,
        "actualCloseDate": opportunity.get("actualclosedate"),
        "expectedCloseDate": opportunity.get("expectedclosedate"),
        "isPrivate": bool(opportunity.get("isprivate")),
        "accessList": [_inner({"user": user}, "user", "id") for user in opportunity.get("accesslist") or ()],
    }
    given = {name: value for name, value in body.items() if value is not None and value != []}
    return Call("PUT", f"opportunity/{opportunity['id']}", given, Lost.MAIN_CONTACT)


def main_contact_of(opportunity: Mapping[str, Any]) -> int:
    """Return the ID of the main contact of an opportunity; 0 for none."""
    return int(_inner(opportunity, "contact", "id") or 0)


def _item(detail: Detail) -> dict[str, Any]:
    return {
        "infoType": detail.kind,
        "category": detail.category,
        "data": detail.data,
        "isPrimary": detail.is_primary,
    }


def _there(number: int, exist: frozenset[int] | None) -> bool:
    return exist is None or number in exist


def _inner(fields: Mapping[str, Any], name: str, member: str) -> Any:
    inner = fields.get(name)
    found = {key.casefold(): value for key, value in inner.items()} if isinstance(inner, dict) else {}
    return found.get(member)
