"""`python -m tests.support.network_agent ADDRESS`: sends back what it is sent, and tries to reach others when asked.

Each line of standard input is an address; the answer is a line with the seconds that a message took there and back, or
`null` if nothing came back.
"""

import socket
import socketserver
import sys
import threading
import time

_PORT = 7000
_GIVE_UP_S = 2.0  # a slowed link takes 0.6 s for one step, and the machine may be busy
#: Larger than a link's own frames.
_MESSAGE = b"x" * 20_000


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        while data := self.request.recv(65_536):
            self.request.sendall(data)


def _reach(address: str) -> float | None:
    started_s = time.monotonic()
    try:
        with socket.create_connection((address, _PORT), _GIVE_UP_S) as wire:
            wire.sendall(_MESSAGE)
            received = 0
            while received < len(_MESSAGE):
                received += len(wire.recv(65_536))
    except TimeoutError:
        return None
    return time.monotonic() - started_s


def _say(what: str) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    """Serve until standard input ends."""
    with socketserver.ThreadingTCPServer((sys.argv[1], _PORT), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        _say("ready")
        for line in sys.stdin:
            took_s = _reach(line.strip())
            _say("null" if took_s is None else f"{took_s:.4f}")
        server.shutdown()


if __name__ == "__main__":
    main()
