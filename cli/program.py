"""How the program starts: it heeds signals before it loads anything, and loading takes longer than the rest of it.

Process 1 of a container is deaf to a signal for which it has no handler: one that comes early would be lost.
"""

import sys

from cli.interrupts import terminable


def main() -> None:
    """Run one command and exit with its code.

    Raises:
        SystemExit: always.
    """
    try:
        with terminable():
            from cli.main import main as run  # noqa: PLC0415 - this is what takes its time

            run()
    except KeyboardInterrupt:
        sys.stderr.write("crm-sweep: interrupted\n")
        sys.exit(130)
