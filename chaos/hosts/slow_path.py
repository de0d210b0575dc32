"""`python -m chaos.hosts.slow_path`: a host that delivers the packets of others late, as a long way would.

A packet that is to be late is sent to a link address that nobody has, which the bridge shows to every port. The address
says for whom the packet is and how long it is to take; after that time it is sent on. No queue of the kernel is needed,
and there is nothing to configure.
"""

import heapq
import select
import socket
import struct
import sys
import time

#: Ethernet's number for IPv4.
_IPV4 = 0x0800
#: Not in Python's `socket`: each packet comes with what its checksum and its segments still need.
_SOL_PACKET, _PACKET_VNET_HDR = 263, 15
_VNET_HEADER = 10
_LARGEST_FRAME = 1 << 17


def link_address(number: int) -> str:
    """Return the link address of the host with a number, 1 to 254."""
    return f"02:00:00:00:00:{number:02x}"


class _Late:
    """Link addresses that lead here: `02:dd`, the delay in milliseconds, 0, and the number of the receiver."""

    _FORM = struct.Struct(">2sHBB")
    _MARK = b"\x02\xdd"

    def link_address(self, number: int, delay_ms: int) -> str:
        """Return the address for packets that reach a host late.

        Args:
            number: the host's number.
            delay_ms: 0 to 65,535.
        """
        return self._FORM.pack(self._MARK, delay_ms, 0, number).hex(":")

    def read(self, address: bytes) -> tuple[int, int] | None:
        """Return the receiver's number and the delay in milliseconds; None if the packet is not to be late."""
        mark, delay_ms, _, number = self._FORM.unpack(address)
        return (number, delay_ms) if mark == self._MARK else None


LATE = _Late()


def main(interface: str = "eth0") -> None:
    """Deliver late, for ever."""
    wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_IPV4))
    wire.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
    wire.bind((interface, _IPV4))
    sender = wire.getsockname()[4]  # the bridge must not learn that the packets' own senders are here
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    waiting: list[tuple[float, int, bytes]] = []
    number = 0
    while True:
        wait_s = max(waiting[0][0] - time.monotonic(), 0.0) if waiting else None
        if select.select([wire], [], [], wait_s)[0]:
            frame = wire.recv(_LARGEST_FRAME)
            found = LATE.read(frame[_VNET_HEADER : _VNET_HEADER + 6])
            if found:
                receiver, delay_ms = found
                address = bytes.fromhex(link_address(receiver).replace(":", ""))
                frame = frame[:_VNET_HEADER] + address + sender + frame[_VNET_HEADER + 12 :]
                number += 1
                heapq.heappush(waiting, (time.monotonic() + delay_ms / 1000, number, frame))
        while waiting and waiting[0][0] <= time.monotonic():
            wire.send(heapq.heappop(waiting)[2])


if __name__ == "__main__":
    main()
