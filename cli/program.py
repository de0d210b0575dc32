"""How the program starts: it handles signals before it loads anything, as loading takes longer than the rest.

Process 1 of a container ignores any signal that it has no handler for, so one that comes early would be lost.
"""

import gc
import sys
from importlib import import_module
from importlib.util import find_spec, module_from_spec

from cli.interrupts import terminable


def main() -> None:
    """Run one command and exit with its code.

    Raises:
        SystemExit: always.
    """
    try:
        with terminable():
            # What is loaded stays: looking through it for garbage, again and again, would take a tenth of the time.
            gc.disable()
            _load_when_used("jwt")
            from cli.main import main as run  # noqa: PLC0415 - this is what takes long

            run()
    except KeyboardInterrupt:
        sys.stderr.write("crm-sweep: interrupted\n")
        sys.exit(130)


def _load_when_used(name: str) -> None:
    """Put a module in the place of one that it loads as soon as something of it is used.

    redis-py imports PyJWT, and with it much of `cryptography`, for log-ins that this program never does.
    """
    spec = find_spec(name)
    if spec is None or name in sys.modules:
        return
    stand_in = module_from_spec(spec)

    def load(attribute: str) -> object:
        sys.modules.pop(name, None)
        return getattr(import_module(name), attribute)

    stand_in.__getattr__ = load  # type: ignore[method-assign]
    sys.modules[name] = stand_in
