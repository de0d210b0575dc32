"""The base class of all errors, and what can be wrong with a configuration.

jobs/words/errors.py draws the whole tree.
"""

from collections.abc import Iterable
from typing import ClassVar


class CrmSweepError(Exception):
    """Something that a user can put right; the message says what was wrong and what was expected."""


class ConfigError(CrmSweepError):
    """The configuration cannot be used; nothing was started.

    Attributes:
        problems: one line per problem: the setting, where its value came from, what was given (masked if it is a
            secret) and what was expected.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems: list[str] = list(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return f"configuration: {self.problems[0]}"
        return "\n  - ".join([f"configuration: {len(self.problems)} problems", *self.problems])


class UnknownName(CrmSweepError, LookupError):
    """Nothing of this name is configured.

    Attributes:
        what: what it would be.
        name: the name that was asked for.
        known: the configured names, sorted.
    """

    what: ClassVar[str]

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(name, self.known)

    def __str__(self) -> str:
        listed = ", ".join(self.known) if self.known else "none"
        return f"no {self.what} named {self.name!r} is configured (configured: {listed})"


class UnknownPortal(UnknownName):
    """No portal of this name is configured."""

    what = "portal"


class UnknownSchedule(UnknownName):
    """No schedule of this name is configured."""

    what = "schedule"


class UnknownWebhook(UnknownName):
    """No webhook of this name is configured."""

    what = "webhook"
