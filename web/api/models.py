"""What callers may send: each struct rejects what does not fit, and describes itself in the OpenAPI document."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from config.portal import MAX_CONCURRENCY, REQUESTS_PER_SECOND
from jobs.view.job import Job
from jobs.view.stops import Stop
from jobs.words.contact_ids import MAX_CONTACT_ID, MIN_CONTACT_ID
from jobs.words.filters import (
    GUID_PATTERN,
    MAX_LIST_ITEM_ID,
    MAX_TAGS,
    MAX_TEXT,
    TAG_PATTERN,
    TEXT_PATTERN,
    Filter,
)
from jobs.words.job_ids import JOB_ID_PATTERN
from jobs.words.labels import LABEL_PATTERN, MAX_LABEL
from jobs.words.priority import Priority
from jobs.words.states import State

PortalName = Annotated[str, Meta(min_length=1, max_length=32, description="Name of a configured portal.")]
Label = Annotated[
    str, Meta(max_length=MAX_LABEL, pattern=LABEL_PATTERN, description="A few words for people, in one line.")
]
JobId = Annotated[
    str,
    Meta(
        pattern=JOB_ID_PATTERN,
        description="The job's ID. It makes sending twice safe: the same list gives the same job, another list 409.",
    ),
]
Column = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=200,
        description="Name of the column or key that holds the ID, instead of `id`, `contact_id` or `contactid`.",
    ),
]
SkipInvalid = Annotated[bool, Meta(description="Drop what is not a contact ID, instead of refusing the whole list.")]
Multiline = Annotated[
    bool,
    Meta(
        description="Fields of a CSV span several lines. Needed only where one of these lines could be a row of its "
        "own; such a list is refused otherwise."
    ),
]

#: A list of integers in a document may be large: it is checked in blocks, never made into Python numbers.
ContactIds = Annotated[
    msgspec.Raw,
    Meta(
        description="The contact IDs to delete, in any order. Objects that hold the ID under `id`, `contact_id` or "
        "`contactid` are accepted as well.",
        extra_json_schema={
            "type": "array",
            "items": {"type": "integer", "minimum": MIN_CONTACT_ID, "maximum": MAX_CONTACT_ID},
            "minItems": 1,
        },
    ),
]


WantsPlan = Annotated[
    bool,
    Meta(description="Predict what would become of each contact first; nothing is deleted before that is approved."),
]


WantsUndo = Annotated[
    bool,
    Meta(
        description="Keep the full record of each contact before it is deleted, so that it can be restored. By default "
        "as the portal's `undo` says, which can also forbid either."
    ),
]


def _inlined(schema: Any, components: dict[str, Any]) -> Any:
    """Return a schema with what it refers to in place of the references."""
    if isinstance(schema, list):
        return [_inlined(part, components) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(components[schema["$ref"].rpartition("/")[2]], components)
    return {name: _inlined(part, components) for name, part in schema.items()}


#: What the members of a filter have to be like, apart from their types, as `Filter` checks it.
_TAGS = {"maxItems": MAX_TAGS, "items": {"type": "string", "maxLength": MAX_TEXT, "pattern": TAG_PATTERN}}
_OF_A_LIST = {"minimum": 0, "maximum": MAX_LIST_ITEM_ID}
_LIMITS_OF_A_FILTER: dict[str, dict[str, Any]] = {
    "tags": _TAGS,
    "without_tags": _TAGS,
    "stage": _OF_A_LIST,
    "type": _OF_A_LIST,
    "responsible": {"pattern": GUID_PATTERN},
    "text": {"maxLength": MAX_TEXT, "pattern": TEXT_PATTERN},
}


def _schema_of_a_filter() -> dict[str, Any]:
    [reference], components = msgspec.json.schema_components([Filter])
    schema: dict[str, Any] = _inlined(reference, components)
    del schema["description"]  # which is for people who read the code
    for member, limits in _LIMITS_OF_A_FILTER.items():
        described = schema["properties"][member]
        described.get("anyOf", [described])[0].update(limits)  # the other one is null
    return {**schema, "minProperties": 1}


#: A filter in a document is read by `Filter.from_json`, which names what is wrong better than a decoder can.
FilterDocument = Annotated[
    msgspec.Raw,
    Meta(
        description="Which contacts of the portal to delete, in place of `contact_ids`; it always makes a plan. All "
        "members must hold. Everything has to be asked for with `everything`.",
        extra_json_schema=_schema_of_a_filter(),
    ),
]


class JobParameters(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Query parameters: everything about a job except its list."""

    portal: PortalName | UnsetType = UNSET
    label: Label | UnsetType = UNSET
    id: JobId | UnsetType = UNSET
    priority: Priority | UnsetType = UNSET
    plan: WantsPlan | UnsetType = UNSET
    undo: WantsUndo | UnsetType = UNSET
    column: Column | UnsetType = UNSET
    skip_invalid: SkipInvalid | UnsetType = UNSET
    multiline: Multiline | UnsetType = UNSET


class JobDocument(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A job to submit: a list of contact IDs, or a filter. A member that is null counts as absent."""

    portal: PortalName
    contact_ids: ContactIds | UnsetType = UNSET
    filter: FilterDocument | UnsetType = UNSET
    plan: WantsPlan | UnsetType | None = UNSET
    undo: WantsUndo | UnsetType | None = UNSET
    label: Label | UnsetType | None = UNSET
    id: JobId | UnsetType | None = UNSET
    priority: Priority | UnsetType | None = UNSET
    column: Column | UnsetType | None = UNSET
    skip_invalid: SkipInvalid | UnsetType | None = UNSET
    multiline: Annotated[bool, Meta(description="Without effect: an array has no lines.")] | UnsetType | None = UNSET


class Approval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is approved."""

    digest: (
        Annotated[
            str,
            Meta(
                pattern="^[0-9A-Fa-f]{12,64}$",
                description="The digest of the plan that was looked at, or at least its first 12 digits. Needed for a "
                "job with a plan.",
            ),
        ]
        | UnsetType
        | None
    ) = UNSET


class JobChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What can be changed about a job."""

    priority: Annotated[Priority, Meta(description="How often the job gets a turn among the other jobs of the portal.")]


class PortalChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to change of a portal, one or more of these; null restores the configured value."""

    requests_per_second: (
        Annotated[float, Meta(ge=REQUESTS_PER_SECOND[0], le=REQUESTS_PER_SECOND[1])] | UnsetType | None
    ) = UNSET
    """Ceiling of all calls, from all workers and jobs together."""
    max_concurrency: (
        Annotated[float, Meta(ge=MAX_CONCURRENCY[0], le=MAX_CONCURRENCY[1], multiple_of=1)] | UnsetType | None
    ) = UNSET
    """Most calls in flight; a whole number, which JSON can also write as 5.0."""
    open_until: Annotated[datetime, Meta(tz=True)] | UnsetType | None = UNSET
    """Until when contacts may be deleted although the portal's `windows` are closed: once, at most 7 days ahead; null
    takes it back."""


class SwitchRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to stop or start."""

    portal: PortalName | UnsetType | None = UNSET
    """The portal; all portals if it is absent or null."""


class Stops(msgspec.Struct, frozen=True):
    """The stops that are in force, as far as the caller may see their portals."""

    stopped: list[Stop]


class JobsQuery(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which jobs to list."""

    state: Annotated[State, Meta(description="Only jobs in this state.")] | UnsetType = UNSET
    portal: Annotated[str, Meta(min_length=1, max_length=32, description="Only jobs of this portal.")] | UnsetType = (
        UNSET
    )
    limit: Annotated[int, Meta(ge=1, le=1000, description="Most jobs to return.")] = 50
    cursor: (
        Annotated[str, Meta(pattern=r"^[0-9]{1,15}-[^:]{1,128}$", description="`next_cursor` of the previous page.")]
        | UnsetType
    ) = UNSET


class JobList(msgspec.Struct, frozen=True):
    """Some jobs, newest first."""

    jobs: list[Job]
    next_cursor: str | None
    """Where the next page begins; null at the end."""
