"""The steady clock under test, on a server whose own clock stays right.

To the steady clock, a jump of the server's clock is the same as the opposite change of what that showed at the last
tick: it only ever takes the difference.
"""

from arq.connections import ArqRedis

from jobs.store import keys
from jobs.store.clock import TICK


async def tick(redis: ArqRedis) -> None:
    """Let the steady clock tick once, as a worker does twice a second; the first tick starts it."""
    await TICK(redis, [keys.CLOCK], [])


async def jump(redis: ArqRedis, seconds: float) -> None:
    """Let the server's clock jump, as far as the steady clock can tell; it must have been started."""
    await redis.execute_command("HINCRBY", keys.CLOCK, "wall_us", -round(seconds * 1_000_000))


async def let_pass(redis: ArqRedis, seconds: float) -> None:
    """Let the steady clock go on by so much, as if workers had ticked all the time."""
    await redis.execute_command("HINCRBY", keys.CLOCK, "steady_us", round(seconds * 1_000_000))
