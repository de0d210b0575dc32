"""The options that say which contacts of a portal are meant, shared by the commands that take a filter."""

from typing import Annotated, Any

import typer

from cli.errors import UsageError
from jobs.words.errors import BadFilter
from jobs.words.filters import Filter, View

_PANEL = "Which contacts: all that is given must hold"

Tags = Annotated[
    list[str] | None,
    typer.Option(
        "--tag",
        metavar="TAG",
        help="Has this tag; given several times, has all of them.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
WithoutTags = Annotated[
    list[str] | None,
    typer.Option(
        "--without-tag",
        metavar="TAG",
        help="Does not have this tag; given several times, has none of them.",
        rich_help_panel=_PANEL,
        show_default=False,
    ),
]
WantedView = Annotated[
    View | None,
    typer.Option("--view", help="Kind of contact.", rich_help_panel=_PANEL, show_default=False),
]
Stage = Annotated[
    int | None, typer.Option("--stage", metavar="N", help="Contact stage, by its ID.", rich_help_panel=_PANEL)
]
Type = Annotated[
    int | None, typer.Option("--type", metavar="N", help="Contact type, by its ID.", rich_help_panel=_PANEL)
]
Responsible = Annotated[
    str | None,
    typer.Option("--responsible", metavar="GUID", help="Responsible user, by GUID.", rich_help_panel=_PANEL),
]
CreatedFrom = Annotated[
    str | None,
    typer.Option(
        "--created-from",
        metavar="DATE",
        help="Created on this day or later, such as 2024-01-31; days are those of the portal's time zone.",
        rich_help_panel=_PANEL,
    ),
]
CreatedTo = Annotated[
    str | None,
    typer.Option(
        "--created-to",
        metavar="DATE",
        help="Created on this day or earlier; the whole day counts.",
        rich_help_panel=_PANEL,
    ),
]
WithoutEmail = Annotated[bool, typer.Option("--without-email", help="Has no e-mail address.", rich_help_panel=_PANEL)]
Text = Annotated[
    str | None,
    typer.Option(
        "--text",
        metavar="WORDS",
        help="Found by the portal's own search, which also looks at notes and events.",
        rich_help_panel=_PANEL,
    ),
]
Everything = Annotated[
    bool, typer.Option("--everything", help="Every contact of the portal; only alone.", rich_help_panel=_PANEL)
]

#: The options that are not called like the filter's members.
_OPTIONS = {"tags": "--tag", "without_tags": "--without-tag"}


def filter_or_none(**members: Any) -> Filter | None:
    """Like `filter_of`, but None where no option was given."""
    return filter_of(**members) if any(value not in (None, False, []) for value in members.values()) else None


def filter_of(**members: Any) -> Filter:
    """Make a filter from the values of the options.

    Args:
        members: the values by member of the filter; None, False and an empty list stand for an option not given.

    Raises:
        UsageError: it is not a filter; the message names the option.
    """
    given = {name: value for name, value in members.items() if value is not None and value is not False and value != []}
    try:
        return Filter.from_json(given)
    except BadFilter as error:
        if error.member is None:
            raise
        option = _OPTIONS.get(error.member) or f"--{error.member.replace('_', '-')}"
        raise UsageError(f"{option}: {error.problem}") from None
