"""Child processes that take signals as those of a terminal do, and end with us, however we end."""

import ctypes
import os
import signal
import sys

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def default_signals() -> None:
    """For `preexec_fn`: give a child the signals that a shell on a terminal gives it.

    What is ignored or blocked is inherited: below `nohup`, or behind an `&` in a script, a child would be deaf to the
    very signals by which it is told to end.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def die_with_parent() -> None:
    """For `preexec_fn`: the signals of a terminal, and SIGKILL when this process ends, even if it is killed outright.

    SIGKILL, because a child that has been stopped takes no other one. Only Linux can do that. The child must be started
    by the main thread: the system looks at the thread that started it.
    """
    default_signals()
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def end(pid: int) -> None:
    """Ask a process to end, also one that has been stopped: it would not notice before it goes on.

    Raises:
        ProcessLookupError: there is no such process.
    """
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
