"""The base class of all errors, and what can be wrong with a configuration.

jobs/words/errors.py draws the whole tree.
"""

from collections.abc import Iterable


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


class UnknownPortal(CrmSweepError, LookupError):
    """No portal of this name is configured.

    Attributes:
        name: the name that was asked for.
        known: the configured names, sorted.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(name, self.known)

    def __str__(self) -> str:
        listed = ", ".join(self.known) if self.known else "none"
        return f"no portal named {self.name!r} is configured (configured: {listed})"


class UnknownWebhook(CrmSweepError, LookupError):
    """No webhook of this name is configured.

    Attributes:
        name: the name that was asked for.
        known: the configured names, sorted.
    """

    def __init__(self, name: str, known: Iterable[str]) -> None:
        self.name = name
        self.known = tuple(sorted(known))
        super().__init__(name, self.known)

    def __str__(self) -> str:
        listed = ", ".join(self.known) if self.known else "none"
        return f"no webhook named {self.name!r} is configured (configured: {listed})"
