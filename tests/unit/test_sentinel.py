"""Which of the Sentinels' answers is believed."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError

from config.redis_url import Endpoint
from jobs.store.bounds import RedisStalled, TlsWanted
from jobs.store.sentinel import (
    FRESH_S,
    Named,
    NoSentinel,
    SentinelLogin,
    SentinelRights,
    Sentinels,
    UnknownToSentinels,
    _named,
)
from tests.support.told_sentinel import Answer, Told

A, B = Endpoint("a", 6379), Endpoint("b", 6379)


class Scene:
    """Some Sentinels, a clock, and how often the primary was said to have moved."""

    def __init__(self, *answers: Answer) -> None:
        self.now_s = 100.0
        self.moves = 0
        self.told = [Told(number, answer) for number, answer in enumerate(answers)]
        self.sentinels = Sentinels(self.told, self._moved, lambda: self.now_s)

    def _moved(self) -> None:
        self.moves += 1

    def say(self, *answers: Answer) -> None:
        for one, answer in zip(self.told, answers, strict=True):
            one.answer = answer

    async def primary(self) -> Endpoint:
        return (await self.sentinels.primary()).at


async def test_of_several_answers_that_of_the_last_fail_over_counts() -> None:
    scene = Scene(Named(A, 3), Named(B, 4), Named(A, 3))
    assert await scene.primary() == B
    assert scene.moves == 0  # there was none before


async def test_a_confirmed_primary_is_not_asked_for_again_until_it_is_doubted() -> None:
    scene = Scene(Named(A, 3))
    for _ in range(3):
        assert await scene.primary() == A
    assert scene.told[0].asked == 1
    scene.sentinels.doubt(Named(B, 1))  # that was another one
    assert await scene.primary() == A
    assert scene.told[0].asked == 1
    scene.sentinels.doubt(Named(A, 3))
    assert await scene.primary() == A
    assert scene.told[0].asked == 2
    scene.now_s += 2 * FRESH_S
    assert await scene.primary() == A
    assert scene.told[0].asked == 3


async def test_callers_share_one_question_and_its_failure() -> None:
    scene = Scene(RedisStalled("no answer"))
    outcomes = await asyncio.gather(*(scene.primary() for _ in range(9)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [NoSentinel] * 9
    assert scene.told[0].asked == 1


async def test_each_look_asks_another_sentinel() -> None:
    scene = Scene(Named(A, 1), Named(A, 1), Named(A, 1))
    for _ in range(6):
        await scene.sentinels.look()
    assert [one.asked for one in scene.told] == [2, 2, 2]


async def test_a_sentinel_that_does_not_answer_is_passed_over_and_left_alone_for_a_while() -> None:
    scene = Scene(RedisStalled("no answer"), Named(A, 1), Named(A, 1))
    for _ in range(6):
        await scene.sentinels.look()
    assert scene.told[0].asked == 1
    assert scene.sentinels.known == Named(A, 1)
    scene.now_s += 60
    for _ in range(3):
        await scene.sentinels.look()
    assert scene.told[0].asked == 2


async def test_a_look_follows_a_fail_over_at_once() -> None:
    scene = Scene(Named(A, 1))
    await scene.primary()
    scene.say(Named(B, 2))
    await scene.sentinels.look()
    assert scene.moves == 1
    assert await scene.primary() == B


async def test_another_name_for_the_same_server_is_followed_only_if_the_first_does_not_work() -> None:
    scene = Scene(Named(A, 1), Named(B, 1))
    first = await scene.primary()
    for _ in range(4):
        await scene.sentinels.look()
    assert await scene.primary() == first
    assert scene.moves == 0
    scene.sentinels.doubt(Named(first, 1))
    assert await scene.primary() == ({A, B} - {first}).pop()


async def test_the_new_address_is_followed_if_the_new_epoch_was_told_before_it() -> None:
    scene = Scene(Named(A, 2, is_moving=True))
    assert await scene.primary() == A
    scene.say(Named(B, 2))
    await scene.sentinels.look()
    assert await scene.primary() == B


async def test_the_known_primary_stays_while_no_sentinel_answers_or_all_are_out_of_date() -> None:
    scene = Scene(Named(B, 7), Named(B, 7))
    await scene.primary()
    for answers in ((OSError("away"), OSError("away")), (Named(A, 6), OSError("away"))):
        scene.say(*answers)
        scene.sentinels.doubt(Named(B, 7))
        assert await scene.primary() == B
    assert scene.moves == 0


@given(
    st.lists(
        st.tuples(
            st.lists(st.none() | st.builds(Named, st.sampled_from([A, B]), st.integers(0, 5), st.booleans()),
                     min_size=3, max_size=3),
            st.booleans(), st.booleans(),
        ),
        max_size=12,
    )
)  # fmt: skip
def test_nobody_is_ever_sent_back_before_a_fail_over(
    steps: Sequence[tuple[Sequence[Named | None], bool, bool]],
) -> None:
    async def story() -> None:
        scene = Scene(*[OSError("away")] * 3)
        highest, moves = -1, 0
        for answers, doubts, looks in steps:
            scene.say(*(answer or OSError("away") for answer in answers))
            before = scene.sentinels.known
            if doubts and before is not None:
                scene.sentinels.doubt(before)
            if looks:
                await scene.sentinels.look()
            else:
                await asyncio.gather(scene.primary(), return_exceptions=True)
            known = scene.sentinels.known
            if known is None:
                continue
            assert known.epoch >= highest
            highest = known.epoch
            moves += before is not None and before.at != known.at
        assert scene.moves == moves

    asyncio.run(story())


@pytest.mark.parametrize(
    ("failures", "kind", "said"),
    [
        ([UnknownToSentinels("ledger"), OSError(111, "refused")], UnknownToSentinels, "does not know the name"),
        ([AuthenticationError("WRONGPASS"), OSError(111, "x")], SentinelLogin, "does not accept the user name"),
        ([NoPermissionError("NOPERM"), NoPermissionError("NOPERM")], SentinelRights, "does not let this user ask"),
        ([TlsWanted("tls"), TlsWanted("tls")], TlsWanted, "speaks TLS"),
        ([RedisStalled("x"), OSError(111, "x")], NoSentinel, "sentinel:26379 does not answer in time, "),
        ([RedisConnectionError("x"), OSError(111, "x")], NoSentinel, "sentinel:26380 connection refused"),
    ],
)
async def test_the_error_says_what_each_sentinel_did(
    failures: Sequence[Answer], kind: type[RedisError], said: str
) -> None:
    with pytest.raises(kind) as caught:
        await Scene(*failures).primary()
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("address", "state"),
    [(b"+OK", []), ([b"h"], []), ([b"h", b"x"], []), ([b"h", b"1"], [b"flags", b"master"]), ([b"h", b"1"], None)],
)
def test_what_is_no_answer_of_a_sentinel_is_an_error_of_the_connection(address: object, state: object) -> None:
    with pytest.raises(RedisConnectionError):
        _named(address, state)


def test_an_answer_is_read() -> None:
    state = [b"name", b"ledger", b"flags", b"master,failover_in_progress", b"config-epoch", b"12"]
    assert _named([b"10.0.0.1", b"6380"], state) == Named(Endpoint("10.0.0.1", 6380), 12, is_moving=True)
