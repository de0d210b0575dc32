"""Which errors mean that a server is no longer the primary, and how often connections are dropped because of them."""

import pytest
from redis import exceptions

from jobs.store.primary import GIVE_UP_EVERY_S, Generation, is_demotion

READ_ONLY = "READONLY You can't write against a read only replica."


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ReadOnlyError("You can't write against a read only replica."),
        exceptions.MasterDownError("Link with MASTER is down and replica-serve-stale-data is set to 'no'."),
        exceptions.BusyLoadingError("Redis is loading the dataset in memory"),
        exceptions.ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"),
        exceptions.ResponseError(f"{READ_ONLY} script: f00, on @user_script:3."),
        exceptions.ResponseError(f"Error running script (call to f_f00): @user_script:3: -{READ_ONLY}"),
        exceptions.ResponseError(f"Command # 1 (HSET k 0 v) of pipeline caused error: {READ_ONLY}"),
    ],
)
def test_a_server_that_is_no_primary_says_so(error: Exception) -> None:
    assert is_demotion(error)


@pytest.mark.parametrize(
    "error",
    [
        exceptions.ResponseError("NOREPLICAS Not enough good replicas to write."),
        exceptions.ResponseError("MISCONF Redis is configured to save RDB snapshots"),
        exceptions.ResponseError("Command # 1 (SET k 'READONLY x') of pipeline caused error: WRONGTYPE Operation"),
        exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'."),
        exceptions.ConnectionError("Connection refused"),
        ValueError(READ_ONLY),
    ],
)
def test_other_errors_do_not(error: Exception) -> None:
    assert not is_demotion(error)


def test_many_replies_at_once_give_up_the_connections_once() -> None:
    now_s = 100.0
    generation = Generation(lambda: now_s)
    for _ in range(20):
        generation.give_up()
    assert generation.number == 1
    now_s += GIVE_UP_EVERY_S
    generation.give_up()
    assert generation.number == 2
