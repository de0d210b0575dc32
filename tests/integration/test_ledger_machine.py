"""Whatever lanes, portals and users do, in whatever order, the ledger stays whole and tells the truth."""

import os

from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from cli.embedded import EmbeddedServer
from tests.support.ledger_machine import LedgerMachine


def test_ledger_stays_whole_and_true_whatever_happens(server: EmbeddedServer) -> None:
    LedgerMachine.server = server
    run_state_machine_as_test(
        LedgerMachine,
        settings=settings(
            # For minutes of it: LEDGER_MACHINE_EXAMPLES=5000
            max_examples=int(os.environ.get("LEDGER_MACHINE_EXAMPLES", "100")),
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
