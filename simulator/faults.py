"""The misbehaviours, and when they strike: at a rate, for the next calls, or at certain call numbers."""

from email.utils import formatdate
from time import time
from typing import Annotated, Literal

import msgspec

from simulator.chance import seeded

RetryAfterForm = Literal["seconds", "date", "epoch", "epoch_ms"]
Misbehaviour = Literal[
    "throttle",  # 429, nothing done
    "unavailable",  # 503, empty, nothing done
    "error",  # 500 (JSON), 502 or 504 (HTML), before or after the commit
    "forbidden",  # 403 with the number of an invalid operation, before or after the commit
    "deadlock",  # 500 with the database's message, rolled back
    "reset",  # the connection is reset, before or after the commit
    "cut",  # committed, but the body ends early
    "html",  # status 200 and a page, before or after the commit
    "hang",  # never an answer, before or after the commit
    "gateway_timeout",  # an immediate 504, while the call goes on and commits delay_s later
    "late",  # everything happens delay_s later, including the commit
    "wrong_count",  # committed; the count is larger than the list
    "foreign_id",  # committed; the list holds an ID that was not asked for
    "replay",  # committed; the answer is that of a second run, an empty list
    "disordered",  # done; the list is in reverse order
    "repeated",  # done; the first element comes again at the end of the list
    "stuck",  # a listing begins at its first contact, whatever startIndex says
]

#: These happen instead of the call, whatever ``when`` says.
_ALWAYS_BEFORE = frozenset({"throttle", "unavailable", "deadlock"})
#: These require that the call has run.
_ALWAYS_AFTER = frozenset(
    {"cut", "late", "gateway_timeout", "wrong_count", "foreign_id", "replay", "disordered", "repeated", "stuck"}
)


class Fault(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One rule. All given conditions must hold; without any, it strikes every matching call."""

    fault: Misbehaviour
    #: The kinds of calls it can strike; ``*`` is all.
    calls: list[str] = msgspec.field(default_factory=lambda: ["delete"])
    #: Probability per call.
    rate: Annotated[float, msgspec.Meta(ge=0, le=1)] | None = None
    #: Strikes this many times, then never again.
    next_calls: Annotated[int, msgspec.Meta(ge=0)] | None = None
    #: Strikes these matching calls, counted from 1 since the rule was added.
    call_numbers: list[int] | None = None
    #: Before or after the commit, for the faults that can be either.
    when: Literal["before", "after"] = "before"
    #: For ``error``.
    status: Literal[400, 500, 502, 503, 504] = 500
    #: Retry-After in seconds of ``throttle`` and ``unavailable``; null sends none.
    retry_after_s: Annotated[float, msgspec.Meta(ge=0)] | None = None
    #: One of the standard's two forms, or the seconds or milliseconds since 1970 that some gateways send.
    retry_after_form: RetryAfterForm = "seconds"
    #: For ``late`` and ``gateway_timeout``.
    delay_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    #: Matching calls so far, and how many of them were struck.
    seen: int = 0
    struck: int = 0

    @property
    def before(self) -> bool:
        """Whether it happens instead of the call."""
        return self.fault in _ALWAYS_BEFORE or (self.when == "before" and self.fault not in _ALWAYS_AFTER)


class Faults:
    """The rules in force, consulted once per call; the first rule that strikes wins."""

    def __init__(self, rules: list[Fault], seed: int = 0) -> None:
        self.rules = rules
        self._random = seeded("faults", seed)

    def draw(self, kind: str) -> Fault | None:
        """Return the fault that strikes this call, if any."""
        drawn: Fault | None = None
        for rule in self.rules:
            if kind in rule.calls or "*" in rule.calls:
                rule.seen += 1
                if drawn is None and self._strikes(rule):
                    rule.struck += 1
                    drawn = rule
        return drawn

    def _strikes(self, rule: Fault) -> bool:
        if rule.next_calls is not None and rule.struck >= rule.next_calls:
            return False
        if rule.call_numbers is not None and rule.seen not in rule.call_numbers:
            return False
        return rule.rate is None or self._random.random() < rule.rate


def retry_after(wait_s: float | None, form: RetryAfterForm = "seconds") -> dict[str, str]:
    """Return the Retry-After header, in whole seconds (rounded up) or as a point in time; no header without a wait."""
    if wait_s is None:
        return {}
    whole_s = int(-(-wait_s // 1))
    then_s = time() + whole_s
    written = {
        "seconds": str(whole_s),
        "date": formatdate(then_s, usegmt=True),
        "epoch": str(round(then_s)),
        "epoch_ms": str(round(then_s * 1000)),
    }
    return {"Retry-After": written[form]}
