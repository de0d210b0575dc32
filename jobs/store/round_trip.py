"""Several commands in one round trip.

redis-py's pipelines can do more, and cost a busy worker more than the commands themselves. Replies are returned as the
server sent them, its errors among them.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

#: A command's name and its arguments.
Command: TypeAlias = tuple[bytes | str | int | float, ...]


async def round_trip(redis: Redis, commands: Sequence[Command]) -> list[Any]:
    """Send commands together, and return their replies in the same order.

    Args:
        redis: the connection.
        commands: at least one; they are sent again if the connection breaks.

    Raises:
        redis.exceptions.RedisError: the server was away for longer than the connection's patience.
    """
    connection = await redis.connection_pool.get_connection()

    async def leave(error: RedisError) -> None:
        await connection.disconnect()
        if not isinstance(error, tuple(connection.retry_on_error)):
            raise error

    try:
        replies: list[Any] = await connection.retry.call_with_retry(lambda: _exchange(connection, commands), leave)
    finally:
        await redis.connection_pool.release(connection)
    return replies


async def _exchange(connection: Any, commands: Sequence[Command]) -> list[Any]:
    await connection.send_packed_command(connection.pack_commands(commands))
    replies = []
    for _ in commands:
        try:
            replies.append(await connection.read_response())
        except ResponseError as error:
            replies.append(error)
    return replies
