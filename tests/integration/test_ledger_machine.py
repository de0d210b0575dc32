"""Whatever lanes, portals and users do, in whatever order, the ledger stays whole and tells the truth."""

import os

from cli.embedded import EmbeddedServer
from tests.support.ledger_machine import LedgerMachine, run


def test_ledger_stays_whole_and_true_whatever_happens(server: EmbeddedServer) -> None:
    # For minutes of it: LEDGER_MACHINE_EXAMPLES=5000
    run(LedgerMachine, server, int(os.environ.get("LEDGER_MACHINE_EXAMPLES", "100")))
