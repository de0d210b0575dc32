"""What a chaos run consists of: the world, the lists, the settings and the faults. The seed decides everything else."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from pyroaring import BitMap

from chaos.campaigns import CAPPED, CAPPED_PORTAL, NEVER_APPROVED, WINDOWED_PORTAL, Campaigns, Schedule
from chaos.configuration import REQUEST_TIMEOUT_S, portal_table, process_tables

PORTAL = "chaos"

#: The job that is cancelled in the middle.
CANCELLED = "doomed"
#: Jobs that are cancelled at some time.
ALL_CANCELLED = frozenset({CANCELLED, NEVER_APPROVED, CAPPED})

MAX_CONCURRENCY = 8
BURST = 2
_BATCH_SIZES = (30, 60)
#: The limit of each of the two portals that have a window or a cap, calls/s.
OTHERS_REQUESTS_PER_SECOND = 3.0

#: How long the portal may still take to commit a call after it has turned its caller away.
LATEST_COMMIT_S = 7.0

_UNDO = """\
undo = "required"
undo_store = "{store}"
undo_recipients = ["{public_key}"]
"""

#: Whose jobs keep the records of their contacts.
KEEPING = (PORTAL, WINDOWED_PORTAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One run.

    Attributes:
        ids: contact IDs on the lists, 1 to `ids`; a few more exist that are on no list.
        minutes: how long faults are injected.
        workers: worker processes.
        seed: decides the world, the faults and their moments.
        fault_rate: probability, 0 to 1, that each of the portal's faults strikes a deletion.
        schedule: when the windows of one of the portals are open.
    """

    ids: int
    minutes: float
    workers: int
    seed: int
    fault_rate: float
    schedule: Schedule = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedule", Schedule(self.minutes))

    @property
    def requests_per_second(self) -> float:
        """The ordinary portal's ceiling: lists last about as long as faults, as a call settles some 18 contacts."""
        return round(min(max(self.ids / (self.minutes * 60) / 18, 4.0), 60.0), 1)

    @property
    def most_per_second(self) -> float:
        """The ceiling of all three portals together."""
        return self.requests_per_second + 2 * OTHERS_REQUESTS_PER_SECOND

    @property
    def bystanders(self) -> int:
        """The number of contacts that are on no list; their IDs follow `ids`."""
        return max(self.ids // 50, 10)

    @property
    def campaigns(self) -> Campaigns:
        """The campaigns, whose contacts follow all others."""
        return Campaigns(self.ids + self.bystanders, max(self.ids // 40, 40), self.schedule)

    def world(self) -> dict[str, int]:
        """Return the simulator's options."""
        return {
            "--contacts": self.ids + self.bystanders + self.campaigns.contacts,
            "--read-only": self.ids // 100,
            "--invoiced": self.ids // 100,
            "--invisible": self.ids // 200,
            "--missing": self.ids // 50,
            "--poisoned": max(self.ids // 10_000, 2),
            "--seed": self.seed,
            "--base-ms": 30,
            "--per-contact-ms": 1,
        }

    def lists(self) -> dict[str, BitMap]:
        """Return the jobs: two whose contacts alternate, two that overlap (one exceeds a segment), one to cancel."""

        def span(start: float, end: float, step: int = 1, offset: int = 0) -> BitMap:
            return BitMap(range(1 + round(self.ids * start) + offset, 1 + round(self.ids * end), step))

        return {
            "odd": span(0.0, 0.1, 2),
            "even": span(0.0, 0.1, 2, 1),
            "long": span(0.1, 0.8),
            "overlapping": span(0.75, 0.9),
            CANCELLED: span(0.9, 1.0),
        }

    def configuration(self, redis_url: str, portal_url: str, store: str, public_key: str) -> str:
        """Return the workers' configuration file.

        Args:
            redis_url: the server.
            portal_url: the portal's address.
            store: where bundles are kept.
            public_key: to which they are encrypted.
        """
        undo = _UNDO.format(store=store, public_key=public_key)
        portals = (
            portal_table(
                name or PORTAL,
                portal_url,
                requests_per_second=OTHERS_REQUESTS_PER_SECOND if name else self.requests_per_second,
                burst=1 if name else BURST,
                max_concurrency=1 if name == CAPPED_PORTAL else MAX_CONCURRENCY,
                batch_sizes=_BATCH_SIZES,
                backoff_max_s=3.0,
                guards=guards + (undo if (name or PORTAL) in KEEPING else ""),
            )
            for name, guards in self.campaigns.guards().items()
        )
        return f'[redis]\nurl = "{redis_url}"\n' + "".join(portals) + process_tables()

    def faults(self) -> list[dict[str, Any]]:
        """Return the rules of the portal's misbehaviour that apply all the time."""
        return list(faults(self.fault_rate))


def faults(rate: float) -> Iterator[dict[str, Any]]:
    """Yield the rules of the portal's misbehaviour, each with about this probability, 0 to 1."""
    for when in ("before", "after"):
        yield {"fault": "reset", "when": when, "rate": rate}
        yield {"fault": "error", "status": 500, "when": when, "rate": rate}
        yield {"fault": "forbidden", "when": when, "rate": rate}
        yield {"fault": "html", "when": when, "rate": rate / 2}
        yield {"fault": "hang", "when": when, "rate": rate / 2}
    for fault in ("cut", "deadlock", "wrong_count"):
        yield {"fault": fault, "rate": rate}
    yield {"fault": "late", "delay_s": 0.5, "rate": rate}
    yield {"fault": "late", "delay_s": REQUEST_TIMEOUT_S + 1, "rate": rate / 2}
    yield {"fault": "gateway_timeout", "delay_s": 1.5, "rate": rate}
    yield {"fault": "gateway_timeout", "delay_s": LATEST_COMMIT_S, "rate": rate / 2}
    # Each of these halves the rate of the fleet for a while, so they are rare or nothing would ever be sent.
    for status in (502, 503):
        yield {"fault": "error", "status": status, "when": "after", "rate": rate / 20}
    yield {"fault": "unavailable", "rate": rate / 20}
    yield {"fault": "throttle", "rate": rate / 10}
    yield {"fault": "throttle", "retry_after_s": 1, "rate": rate / 20}
    yield {"fault": "throttle", "retry_after_s": 1, "retry_after_form": "date", "rate": rate / 20}
    # Look-ups fail as well, but less often: what cannot be looked up stays undecided and is given up in the end.
    for read_fault in ("reset", "html", "hang", "forbidden", "cut", "wrong_count"):
        yield {"fault": read_fault, "calls": ["look_up"], "rate": rate / 3}
    yield {"fault": "error", "status": 500, "calls": ["look_up"], "rate": rate / 3}
    yield {"fault": "late", "delay_s": 0.5, "calls": ["look_up"], "rate": rate / 3}
    listings = ["listing", "opportunities", "cases"]
    for listing_fault in ("reset", "html", "cut"):
        yield {"fault": listing_fault, "calls": listings, "rate": rate}
    yield {"fault": "error", "status": 500, "calls": listings, "rate": rate}
    # After the first of these pages are smaller, and the others have a walk begin again.
    for listing_fault in ("hang", "repeated", "disordered"):
        yield {"fault": listing_fault, "calls": ["listing"], "rate": rate / 20}


def label(rule: dict[str, Any]) -> str:
    """Return the name of a simulator's rule in the tables."""
    parts = [rule["fault"]]
    if rule["fault"] == "error":
        parts.append(str(rule["status"]))
    if rule["fault"] in ("reset", "error", "forbidden", "html", "hang"):
        parts.append(f"{rule['when']} the commit")
    if rule["delay_s"]:
        parts.append(f"by {rule['delay_s']:g} s")
    if rule["retry_after_s"] is not None:
        parts.append(f"Retry-After as {rule['retry_after_form']}")
    if rule["calls"] != ["delete"]:
        parts.append(f"({rule['calls'][0].replace('_', '-')})")
    return " ".join(parts)
