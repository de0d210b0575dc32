"""A network of the run's own, in which hosts are made: nothing in it is seen outside, and all of it ends with the run.

The command starts itself again in new namespaces. Interfaces and hosts exist only inside, and the kernel removes them
with the last process, so a run that is killed leaves nothing behind.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence

#: Set in the environment of the command that is inside.
_INSIDE = "CHAOS_HOSTS_INSIDE"

#: Where `ip` is, also for those who are not root.
_SBIN = "/usr/sbin:/sbin"

#: What the command does first once it is inside: names of network namespaces are kept in a directory of its own.
_OWN_RUN = "mount -t tmpfs tmpfs /run"

#: Everything that a run needs, tried once.
_TRIAL = f"""\
set -e
{_OWN_RUN}
ip link add crm-trial type bridge
ip netns add crm-trial
ip link add crm-trial-0 type veth peer name eth0 netns crm-trial
nsenter --net=/run/netns/crm-trial true
"""


class NoNamespaces(Exception):
    """This machine does not let us make network namespaces; the message says what it said."""


def is_inside() -> bool:
    """Check whether this process already is in a network of its own."""
    return os.environ.get(_INSIDE) == "1"


def enter(command: Sequence[str]) -> None:
    """Replace this process by a command that runs in a network of its own.

    Raises:
        NoNamespaces: that is not allowed here.
    """
    way_in = find_way_in()
    script = f'{_OWN_RUN} && exec "$@"'
    os.environ |= {_INSIDE: "1", "PATH": _path()}
    os.execvp(way_in[0], [*way_in, "sh", "-c", script, "sh", *command])  # noqa: S606 - our own command


def find_way_in() -> list[str]:
    """Return the command that leads into a network of its own.

    Raises:
        NoNamespaces: none does.
    """
    said = "this system has none"
    for way_in in _ways_in() if sys.platform == "linux" else ():
        try:
            trial = subprocess.run(  # noqa: S603 - our own script
                [*way_in, "sh", "-c", _TRIAL],
                env={**os.environ, "PATH": _path()},
                capture_output=True,
                text=True,
                check=False,
            )
        except FileNotFoundError as error:
            raise NoNamespaces(f"{error.filename} is not installed (Debian packages util-linux and iproute2)") from None
        if trial.returncode == 0:
            return way_in
        said = (trial.stderr.strip().splitlines() or ["not allowed"])[-1]
    raise NoNamespaces(said)


def _path() -> str:
    return os.pathsep.join([os.environ.get("PATH", os.defpath), _SBIN])


def _ways_in() -> Iterator[list[str]]:
    if os.geteuid() == 0:
        yield ["unshare", "--net", "--mount"]
    yield ["unshare", "--user", "--map-root-user", "--net", "--mount"]
