"""One schedule: which contacts are to go, when, and how much of that nobody has to look at."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from config.cron import Cron, check_cron
from config.fields import NAME_PATTERN, Section, Unit, refuse
from config.timezone import TimeZone


class Schedule(Section):
    """A campaign that starts by itself; docs/schedules.md says how it goes.

    Its plan is approved automatically if it stays within both limits, `max_contacts` and `max_share`. Without them
    every plan waits for a person.
    """

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """Name of the schedule in commands, logs, metrics and the page; its jobs' IDs begin with it."""

    portal: str
    """Portal whose contacts are deleted."""

    filter: dict[str, Any]
    """Which contacts, with the members that a filter has over HTTP."""

    cron: str
    """When it is due, in five fields: minute, hour, day of the month, month, day of the week."""

    timezone: TimeZone = "UTC"
    """Time zone of `cron`, by its IANA name."""

    max_contacts: Annotated[int, Field(ge=0), Unit("contacts")] = 0
    """A plan that deletes more contacts than this waits for a person; 0 lets every plan wait."""

    max_share: Annotated[float, Field(ge=0, le=1, validate_default=True)] = 0.0
    """A plan that deletes a larger share of the portal than this waits for a person; 0 lets every plan wait."""

    label: str = ""
    """Label of its jobs, a few words for people."""

    priority: Literal["urgent", "normal", "background"] = "normal"
    """How often its jobs get a turn among the other jobs of the portal."""

    undo: bool = False
    """Whether its jobs keep the records of their contacts; where the portal requires that, they do in any case."""

    enabled: bool = True
    """Whether it starts by itself; if not, it can still be started by hand, and its plans wait for a person."""

    @field_validator("filter")
    @classmethod
    def _days_as_text(cls, members: dict[str, Any]) -> dict[str, Any]:
        """Write days as JSON does: TOML has a type for them."""
        return {name: value.isoformat() if type(value) is date else value for name, value in members.items()}

    @field_validator("cron")
    @classmethod
    def _check_cron(cls, cron: str) -> str:
        try:
            return check_cron(cron)
        except ValueError as error:
            refuse(str(error))

    @field_validator("max_share")
    @classmethod
    def _both_limits_or_none(cls, share: float, info: ValidationInfo) -> float:
        contacts = info.data.get("max_contacts")
        if contacts is not None and bool(contacts) is not bool(share):
            refuse("max_contacts and max_share together: nothing is approved automatically unless both are set")
        return share

    @property
    def times(self) -> Cron:
        """When it is due."""
        return Cron(self.cron, self.timezone)
