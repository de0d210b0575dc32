"""Child processes that end with us, however we end."""

import ctypes
import signal
import sys
from collections.abc import Callable


def _parent_death_signal() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    set_option = ctypes.CDLL(None, use_errno=True).prctl
    return lambda: set_option(1, signal.SIGTERM)  # 1 is PR_SET_PDEATHSIG, from <linux/prctl.h>


die_with_parent = _parent_death_signal()
"""For `preexec_fn`: the child gets SIGTERM even if this process is killed outright. None where the system cannot."""
