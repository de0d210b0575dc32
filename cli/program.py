"""How the program starts: it handles signals before it loads anything, as loading takes longer than the rest.

Process 1 of a container ignores any signal that it has no handler for, so one that comes early would be lost.
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
            from cli.main import main as run  # noqa: PLC0415 - this is what takes long

            run()
    except KeyboardInterrupt:
        sys.stderr.write("crm-sweep: interrupted\n")
        sys.exit(130)
