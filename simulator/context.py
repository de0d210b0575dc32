"""What a handler knows about the call it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from simulator.elements import ElementWriter
from simulator.latency import spend
from simulator.members import Detail
from simulator.parameters import Parameters, bad_argument, not_found
from simulator.portal import Portal
from simulator.replies import PortalError
from simulator.truth import RecordedCall, Truth
from simulator.world import MAX_CONTACT_ID, World

T = TypeVar("T")


@dataclass(slots=True)
class Context:
    """One call on its way through the portal.

    Attributes:
        world: the contacts as of the call's arrival; resetting the world later does not affect the call.
        truth: likewise.
        query: name and value of each query parameter, in order.
        path_value: the variable part of the path, if it has one.
        path_rest: the second variable part, if it has two.
        content_type: the request's Content-Type.
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
    path_rest: str = ""
    content_type: str | None = None

    def parameters(self) -> Parameters:
        """Return the parameters in query and body.

        Raises:
            PortalError: the body cannot be read.
        """
        return Parameters(self.query, self.content_type, self.body)

    def path_id(self) -> int:
        """Return the number that the path names.

        Raises:
            PortalError: 400 if it cannot be one.
        """
        return _as_id(self.path_value)

    def second_path_id(self) -> int:
        """Return the second number that the path names.

        Raises:
            PortalError: 400 if it cannot be one.
        """
        return _as_id(self.path_rest)

    def require_visible(self, contact_id: int) -> None:
        """Refuse the call if the contact does not exist or cannot be seen.

        Raises:
            PortalError: 404.
        """
        if contact_id not in self.world.alive or contact_id in self.world.invisible:
            raise not_found()

    async def commit(self, change: Callable[[], T], contact_id: int | None = None) -> T:
        """Make a change in the middle of the time that it takes, and record it.

        Args:
            change: makes it, or refuses the call.
            contact_id: the contact that it is about.

        Raises:
            PortalError: the change was refused.
        """
        time_s = self.portal.latency.writing_s()
        await spend(time_s * self.portal.behaviour.commit_at + self.delay_s)
        result = change()
        self.truth.wrote(self.call, self.call.wrote_to if contact_id is None else contact_id)
        await spend(time_s * (1 - self.portal.behaviour.commit_at))
        return result

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
        return self._writer(wanted, detail, deleted=deleted)

    def whole_writer(self, detail: Detail) -> ElementWriter:
        """Return a writer of contacts inside of something else."""
        return self._writer(frozenset(), detail)

    def _writer(self, wanted: frozenset[str], detail: Detail, *, deleted: bool = False) -> ElementWriter:
        behaviour = self.portal.behaviour
        return ElementWriter(
            self.world,
            wanted,
            casing=behaviour.casing,
            detail=detail,
            deleted=deleted,
            utc_offset_minutes=behaviour.utc_offset_minutes,
        )


def _as_id(text: str) -> int:
    number = int(text)
    if not 0 < number <= MAX_CONTACT_ID:
        raise bad_argument()
    return number


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
