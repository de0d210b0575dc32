"""Sends a PUT into a network that loses it, repairs the network, and says which calls the portal has seen in the end.

`python -m tests.support.late_put` prints a JSON array: of each call, how many contacts it carried.
"""

import asyncio
import json
import sys

from bench.process import Child, running
from chaos.hosts.bridge import Bridge
from chaos.hosts.namespaces import enter, is_inside
from chaos.hosts.network import pairs
from config.portal import Portal
from simulator.client import connect
from worker.exchange import Exchange

_PORT = 8090
_TIMEOUT_S = 1.0
#: By then the system would have sent again, several times, what was not acknowledged.
_SENT_AGAIN_WITHIN_S = 2.5


async def _send(url: str) -> None:
    """Send a PUT whenever a line with contact IDs comes, over one connection; say how it went."""
    portal = Portal.model_validate({"name": "main", "url": url, "token": "made-up", "request_timeout_s": _TIMEOUT_S})
    exchange = Exchange(portal)
    for line in sys.stdin:
        body = json.dumps({"contactids": json.loads(line)}).encode()
        headers = {"Authorization": "made-up", "Content-Type": "application/json"}
        answer = await exchange.send("PUT", "/api/2.0/crm/contact", headers, body=body, deleting=True)
        sys.stdout.write(f"sent {type(answer).__name__}\n")
        sys.stdout.flush()
    await exchange.close()


async def _tell() -> list[int]:
    network = Bridge(["worker", "portal"])
    url = f"http://{network.address('portal')}:{_PORT}"
    simulator = [sys.executable, "-m", "simulator", "--host", network.address("portal"), "--port", str(_PORT)]
    sender = [sys.executable, "-m", "tests.support.late_put", url]
    async with (
        network.made(),
        running("portal", network.on("portal", simulator), ready="^listening on "),
        running("worker", network.on("worker", sender), ready=None) as worker,
        connect(url) as portal,
    ):
        assert await _put(worker, [1]) == "RawAnswer"
        async with network.cut(pairs(["worker"], ["portal"])):
            assert await _put(worker, [2, 3]) == "Failure"
        await asyncio.sleep(_SENT_AGAIN_WITHIN_S)
        assert await _put(worker, [4, 5, 6]) == "RawAnswer"
        return [call["contacts"] for call in await portal.calls()]


async def _put(worker: Child, contact_ids: list[int]) -> str:
    await worker.say(json.dumps(contact_ids))
    return (await worker.expect("^sent ")).removeprefix("sent ")


def main() -> None:
    """Send as told, or make the hosts between which it is sent."""
    if sys.argv[1:]:
        asyncio.run(_send(sys.argv[1]))
    elif is_inside():
        sys.stdout.write(json.dumps(asyncio.run(_tell())))
    else:
        enter([sys.executable, "-m", "tests.support.late_put"])


if __name__ == "__main__":
    main()
