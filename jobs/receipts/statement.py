"""The statement of a receipt: the text that is signed, and what it says."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.words.outcomes import Outcome
from jobs.words.states import TERMINAL

_FORMAT = "crm-sweep receipt 1"

_TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
_COUNT = "0|[1-9][0-9]*"

#: Every line after the first, in order: its name, and what it can say.
_LINES: Mapping[str, str] = {
    "job": "[^\n]+",
    "portal": "[^\n]*",
    "address": "[0-9a-f]{16}|-",
    "state": "|".join(sorted(TERMINAL)),
    "created": _TIME,
    "started": f"{_TIME}|-",
    "finished": _TIME,
    "retries": _COUNT,
    "total": _COUNT,
    **dict.fromkeys(Outcome, _COUNT),
    "root": "[0-9a-f]{64}",
}
_STATEMENT = re.compile(f"{_FORMAT}\n" + "".join(f"{name}: ({value})\n" for name, value in _LINES.items()), re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a receipt says about a job that has ended.

    Attributes:
        job: its ID.
        portal: name of the portal; empty if the request named none.
        address: the first 16 hexadecimal digits of the SHA-256 of the portal's address; None if the job has none.
        state: how it ended: `completed`, `cancelled` or `failed`.
        created: when it was accepted, ISO 8601 in UTC with milliseconds.
        started: when its first contact was sent; None if none was.
        finished: when it ended.
        retries: how often failed contacts were tried again after it had ended before.
        counts: contacts by outcome.
        root: of the tree over the lines of its ledger, 32 bytes.
    """

    job: str
    portal: str
    address: str | None
    state: str
    created: str
    started: str | None
    finished: str
    retries: int
    counts: Mapping[Outcome, int]
    root: bytes

    @property
    def total(self) -> int:
        """Contacts of the job: the lines of its ledger, and the leaves of the tree."""
        return sum(self.counts.values())

    def text(self) -> str:
        """Write it as it is signed."""
        values: dict[str, str | int] = {
            "job": self.job,
            "portal": self.portal,
            "address": self.address or "-",
            "state": self.state,
            "created": self.created,
            "started": self.started or "-",
            "finished": self.finished,
            "retries": self.retries,
            "total": self.total,
            **{outcome: self.counts[outcome] for outcome in Outcome},
            "root": self.root.hex(),
        }
        return f"{_FORMAT}\n" + "".join(f"{name}: {values[name]}\n" for name in _LINES)

    @classmethod
    def parse(cls, text: str) -> "Statement":
        """Read what `text` wrote.

        Raises:
            ValueError: it is not such a text; the message says what is wrong.
        """
        if not text.startswith(f"{_FORMAT}\n"):
            raise ValueError(f"it does not begin with {_FORMAT!r}")
        match = _STATEMENT.fullmatch(text)
        if match is None:
            raise ValueError("its lines are not those of this format")
        said = dict(zip(_LINES, match.groups(), strict=True))
        counts = {outcome: int(said[outcome]) for outcome in Outcome}
        if sum(counts.values()) != int(said["total"]):
            raise ValueError(f"its counts add up to {sum(counts.values()):,}, and its total is {int(said['total']):,}")
        return cls(
            job=said["job"],
            portal=said["portal"],
            address=_or_none(said["address"]),
            state=said["state"],
            created=said["created"],
            started=_or_none(said["started"]),
            finished=said["finished"],
            retries=int(said["retries"]),
            counts=counts,
            root=bytes.fromhex(said["root"]),
        )


def _or_none(text: str) -> str | None:
    return None if text == "-" else text
