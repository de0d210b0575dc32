"""Child processes that handle signals as on a terminal, and that end when we do, however we end."""

import ctypes
import os
import signal
import sys

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGHUP)

_PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


def default_signals() -> None:
    """Set a child's signals as a shell on a terminal does; for `preexec_fn`.

    Ignored and blocked signals are inherited: under `nohup`, or with an `&` in a script, a child would be deaf to the
    very signals that tell it to end.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def die_with_parent() -> None:
    """Set the signals of a terminal, and SIGKILL for when this process ends, even if it is killed; for `preexec_fn`.

    SIGKILL, because a stopped child reacts to no other signal. Only Linux can do this. The child must be started by the
    main thread, because the system watches the thread that started it.
    """
    default_signals()
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL))


def end(pid: int) -> None:
    """Ask a process to end, even if it is stopped: then it would not react before it continues.

    Raises:
        ProcessLookupError: there is no such process.
    """
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGCONT)
