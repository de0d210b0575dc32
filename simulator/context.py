"""What a handler knows about the call it answers."""

from dataclasses import dataclass

from simulator.elements import ElementWriter
from simulator.members import Detail
from simulator.portal import Portal
from simulator.replies import PortalError
from simulator.truth import RecordedCall, Truth
from simulator.world import World


@dataclass(slots=True)
class Context:
    """One call on its way through the portal.

    Attributes:
        world: the contacts as of the call's arrival; resetting the world later does not affect the call.
        truth: likewise.
        query: name and value of each query parameter, in order.
        path_value: the variable part of the path, if it has one.
        bound: the contact IDs it carries, or why they cannot be read; None if it carries none.
        delay_s: extra time before anything happens.
    """

    portal: Portal
    world: World
    truth: Truth
    call: RecordedCall
    query: list[tuple[str, str]]
    body: bytes
    address: str
    path_value: str
    bound: list[int] | PortalError | None
    delay_s: float = 0.0

    def contact_ids(self) -> list[int]:
        """Return the contact IDs of the call.

        Raises:
            PortalError: they cannot be read.
        """
        if isinstance(self.bound, PortalError):
            raise self.bound
        return self.bound or []

    def writer(self, detail: Detail, *, deleted: bool = False) -> ElementWriter:
        """Return a writer of contacts that honours the call's ``fields``."""
        fields = parameter(self.query, "fields", whole=True)
        wanted = frozenset(field.strip().lower() for field in fields.split(",") if field.strip())
        behaviour = self.portal.behaviour
        return ElementWriter(
            self.world,
            wanted,
            casing=behaviour.casing,
            detail=detail,
            deleted=deleted,
            utc_offset_minutes=behaviour.utc_offset_minutes,
        )


def parameter(query: list[tuple[str, str]], name: str, *, whole: bool = False) -> str:
    """Return a query parameter: unless ``whole``, only up to the first comma, as the portal reads it."""
    wanted = name.lower()
    values = [value for key, value in query if key.lower() == wanted]
    if whole:
        return ",".join(values)
    return values[0].split(",")[0] if values else ""


def int_parameter(query: list[tuple[str, str]], name: str, default: int) -> int:
    """Return a query parameter as an integer; anything else is ignored."""
    try:
        return int(parameter(query, name))
    except ValueError:
        return default
