"""What can be wrong with a configuration.

ConfigError     the settings cannot be used: fix the file or the environment and start again
UnknownPortal   a caller named a portal that is not configured
"""

from collections.abc import Iterable


class ConfigError(Exception):
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


class UnknownPortal(LookupError):
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
