"""What arq is given from its queue: well-formed messages, whatever is in there."""

import json
import logging
import pickle
from typing import Any

import pytest
from arq.jobs import deserialize_job_raw
from arq.utils import args_to_string, ms_to_datetime
from hypothesis import given
from hypothesis import strategies as st

from jobs.store.connection import encode_payload
from worker import messages
from worker.functions import is_news
from worker.messages import Message, read_message

WAKE_UP: dict[str, Any] = {"t": None, "f": "drive_lane", "a": ["main"], "k": {}, "et": 5}


def read(data: bytes) -> Any:
    """Read a message as arq's worker does, including what it does to the parts before it calls a function."""
    function, args, kwargs, _, enqueued_ms = deserialize_job_raw(data, deserializer=read_message)
    hash(function)
    ms_to_datetime(enqueued_ms)
    assert len(args_to_string(tuple(args), kwargs)) < 200
    encode_payload({"a": args, "k": kwargs})
    return function, args, kwargs, enqueued_ms


def test_messages_of_our_own_are_read_as_they_are() -> None:
    assert read(json.dumps(WAKE_UP).encode()) == ("drive_lane", ["main"], {}, 5)


def test_a_request_stays_as_it_is_and_is_short_in_log_and_result() -> None:
    data = json.dumps(WAKE_UP | {"f": "delete_contacts", "k": {"contact_ids": list(range(1, 10_000))}}).encode()
    function, [message], kwargs, enqueued_ms = read(data)
    assert (function, kwargs, enqueued_ms) == ("delete_contacts", {}, 5)
    assert message.data == data
    assert len(encode_payload([message])) < 40


@pytest.mark.parametrize(
    "data",
    [
        json.dumps(WAKE_UP | {"f": "delete_contacts", "k": {"contact_ids": list(range(1, 10_000))}}).encode(),
        encode_payload(WAKE_UP | {"f": "delete_contacts", "k": {"contact_ids": [1]}}),
        encode_payload(WAKE_UP),
        json.dumps({"a": [], "k": {}, "f": "delete_contacts", "et": 5}).encode(),
        json.dumps(WAKE_UP | {"f": "delete_contacts", "et": 10**18}).encode(),
        json.dumps(WAKE_UP | {"f": "delete_contacts", "et": "soon"}).encode(),
        b'{"f": "delete_contacts", and then garbage',
        pickle.dumps(WAKE_UP),
    ],
    ids=lambda data: repr(data[:60]),
)
def test_a_large_request_is_not_opened_and_read_as_if_it_were(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    def parts(read: Any) -> Any:
        function, args, kwargs, enqueued_ms = read
        return function, [one.data if isinstance(one, Message) else one for one in args], kwargs, enqueued_ms

    opened = parts(read(data))
    monkeypatch.setattr(messages, "_LARGE", 10)
    assert parts(read(data)) == opened


def test_a_large_request_is_handed_on_unopened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_LARGE", 10)
    monkeypatch.setattr(messages, "open_envelope", None)
    data = encode_payload(WAKE_UP | {"f": "delete_contacts"})
    function, [message], _, enqueued_ms = read(data)
    assert (function, message.data, enqueued_ms) == ("delete_contacts", data, 5)


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(WAKE_UP),
        b"garbage",
        json.dumps(WAKE_UP | {"et": "soon"}).encode(),
        json.dumps(WAKE_UP | {"et": 10**18}).encode(),
        json.dumps(WAKE_UP | {"a": 5}).encode(),
        json.dumps(WAKE_UP | {"k": [1]}).encode(),
        json.dumps(WAKE_UP | {"f": ["drive_lane"]}).encode(),
    ],
    ids=lambda data: repr(data[:60]),
)
def test_what_arq_would_die_of_becomes_a_request_that_can_be_refused(data: bytes) -> None:
    function, [message], kwargs, _ = read(data)
    assert (function, kwargs) == ("delete_contacts", {})
    assert isinstance(message, Message)
    assert message.data == data


def test_a_number_of_tries_that_the_sender_made_up_does_not_count() -> None:
    assert read_message(json.dumps(WAKE_UP | {"t": 10**9}).encode())["t"] is None


@given(st.binary())
def test_nothing_makes_it_fail(data: bytes) -> None:
    read(data)


@pytest.mark.parametrize(
    ("root", "line", "written"),
    [
        (logging.INFO, logging.INFO, False),
        (logging.INFO, logging.WARNING, True),
        (logging.DEBUG, logging.INFO, True),
    ],
)
def test_arq_tells_of_its_wake_ups_only_where_everything_is_wanted(
    caplog: pytest.LogCaptureFixture, root: int, line: int, written: bool
) -> None:
    caplog.set_level(root)  # of the root logger, restored afterwards
    assert is_news(logging.LogRecord("arq.worker", line, "", 0, "0.01s", None, None)) is written
