"""What one step of a survey found, as `settle.lua` records it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jobs.words.states import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class SurveyStep:
    """What one step of a survey found.

    Attributes:
        facts: fields of the job's hash to set.
        forget: fields of the job's hash to remove.
        clear: keys to remove first, each by its last part: what a pass has written that begins again.
        writes: what to write into hashes: the last part of the key (see jobs/store/keys.py), the field, as a rule a
            segment's number, and its content.
        event: what the step makes of the job: PLANNED, NOTHING_SELECTED or CANNOT_PLAN; None if it goes on.
        begins_bundle: the bundle that is begun (jobs/bundles/expiry.py): from now on, something of it may be in the
            store. Empty for none.
        kept: records that are kept from now on, and their bytes in the store.
        delay_s: seconds until the next step.
        sample: the plan's sample as JSON, with PLANNED; None for none. It holds personal data, so it is kept apart.
        sample_until_ms: when the sample is removed at the latest, Unix milliseconds on the Redis server's clock.
    """

    facts: Mapping[str, str] = field(default_factory=dict)
    forget: Sequence[str] = ()
    clear: Sequence[str] = ()
    writes: Sequence[tuple[str, int | str, bytes]] = ()
    event: Event | None = None
    begins_bundle: str = ""
    kept: tuple[int, int] = (0, 0)
    delay_s: float = 0.0
    sample: str | None = None
    sample_until_ms: int = 0

    def message(self) -> dict[str, Any]:
        """Return all of it but the segments' contents, which are binary."""
        message: dict[str, Any] = {
            "facts": dict(self.facts),
            "forget": list(self.forget),
            "clear": list(self.clear),
            "places": [(key, str(segment)) for key, segment, _ in self.writes],
            "delay_ms": round(self.delay_s * 1000),
        }
        if self.event:
            message["event"] = self.event
        if self.kept[0]:
            message["kept"] = self.kept
        if self.begins_bundle:
            message["begins_bundle"] = self.begins_bundle
        if self.sample is not None:
            message["sample"], message["sample_until_ms"] = self.sample, str(self.sample_until_ms)
        return message

    def segments(self) -> list[bytes]:
        """Return the segments' contents, in the order of `message`."""
        return [content for _, _, content in self.writes]
