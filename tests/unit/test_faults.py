"""Which fault holds all of a portal's jobs, judged from the recorded faults and the workers that are alive."""

import pytest

from jobs.store.clock import Clocks
from jobs.store.faults import fault_that_holds
from jobs.store.kept import EVERYONE

NOW_MS = 1_000_000
LATER_MS = NOW_MS + 600_000


def fault(reason: str = "portal_auth", until_ms: int = LATER_MS, message: str = "wrong; put it right") -> bytes:
    return f"{until_ms} {reason} {message}".encode()


@pytest.mark.parametrize(
    ("faults", "alive", "reason"),
    [
        ({}, ["new"], None),
        ({b"old": fault()}, ["old"], "portal_auth"),
        ({b"old": fault()}, ["old", "old"], "portal_auth"),
        ({b"old": fault()}, ["old", "new"], None),
        ({b"old": fault()}, ["new"], None),
        ({b"old": fault()}, [], "portal_auth"),
        ({b"old": fault(until_ms=NOW_MS)}, ["old"], None),
        ({b"old": fault(), b"new": fault("portal_payment", LATER_MS + 1)}, ["new"], "portal_payment"),
        ({b"old": fault(), b"new": fault("portal_payment", LATER_MS - 1)}, ["old", "new"], "portal_payment"),
        ({b"old": fault(), b"new": fault(until_ms=NOW_MS)}, ["old", "new"], None),
        ({EVERYONE.encode(): fault("portal_protocol")}, ["old", "new"], "portal_protocol"),
    ],
)
def test_it_holds_as_long_as_nobody_who_is_alive_can_go_on(
    faults: dict[bytes, bytes], alive: list[str], reason: str | None
) -> None:
    configurations = [(f"{one}/worker-{at}".encode(), float(NOW_MS + 1)) for at, one in enumerate(alive)]
    configurations.append((b"gone/worker", float(NOW_MS)))
    found = fault_that_holds(faults, configurations, Clocks.together(NOW_MS))
    assert (found.reason if found else None) == reason


def test_its_message_comes_back_whole() -> None:
    found = fault_that_holds({b"": fault(message="")}, [], Clocks.together(NOW_MS))
    assert found is not None
    assert found.message == ""
    found = fault_that_holds({b"": fault(message="many words; ä, one after another")}, [], Clocks.together(NOW_MS))
    assert found is not None
    assert (found.message, found.until_ms) == ("many words; ä, one after another", LATER_MS)
