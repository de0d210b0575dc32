"""How contacts of one portal are restored."""

from typing import Annotated

from pydantic import Field

from config.fields import Section, Unit


class Restoring(Section):
    """What a restore needs to know of a portal; docs/restore.md says what for."""

    late_commit_s: Annotated[float, Field(ge=0, le=3600), Unit("s")] = 65.0
    """A contact that a call without an answer was to create may still appear for so long after the call was sent."""
