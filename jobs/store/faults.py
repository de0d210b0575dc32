"""Faults of a portal: what a person must fix, kept for the configuration that met it.

A fault of credentials, payment, rights or address holds only workers with the configuration that met it, identified by
its fingerprint (worker/fingerprint.py). It ends when a person resumes or cancels a job of the portal, or starts
`crm-sweep run`; otherwise the portal is tried again after ten minutes. The scripts do the same in
jobs/store/lua/includes/faults.lua.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from jobs.store.clock import Clocks
from jobs.store.kept import EVERYONE
from jobs.store.times import still_ahead

_EVERYONE = EVERYONE.encode()


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault that holds a configuration.

    Attributes:
        reason: the word, as in `Job.state_reason`.
        message: what was wrong and what to do, for a person.
        until_ms: when the portal is tried again, on the Redis server's clock.
    """

    reason: str
    message: str
    until_ms: int


def fault_that_holds(
    faults: Mapping[bytes, bytes], configurations: Iterable[tuple[bytes, float]], clocks: Clocks
) -> Fault | None:
    """Return the fault that holds all of a portal's jobs; None while any living worker can go on.

    Args:
        faults: the faults by fingerprint, as kept in Redis.
        configurations: `fingerprint/worker`, and until when each is alive, on the steady clock.
        clocks: the clocks now.
    """
    lasting = {of: fault for of, text in faults.items() if (fault := _read(text, clocks)).until_ms > clocks.wall_ms}
    if _EVERYONE in lasting:
        return lasting[_EVERYONE]
    alive = {member.partition(b"/")[0] for member in still_ahead(configurations, clocks.presence_ms)}
    if not lasting or alive - lasting.keys():
        return None
    # With no worker alive, the last fault still says what has to be fixed.
    held = [fault for of, fault in lasting.items() if of in alive or not alive]
    return min(held, key=lambda fault: fault.until_ms)


def _read(text: bytes, clocks: Clocks) -> Fault:
    until_ms, reason, message = text.decode().split(" ", 2)
    return Fault(reason, message, clocks.to_wall(int(until_ms)))
