"""Log lines: one event per line, the same for every logger, and no secret in any of them."""

import io
import json
import logging
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import assume, given
from hypothesis import strategies as st

from config import masking
from config.logging import configure_logging, get_logger
from config.masking import MIN_PART_CHARS, is_sensitive, mask_text, mask_value, register_secret
from config.models import LogConfig

SECRET = "hush-0123456789"


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Leave the process's loggers as they were."""
    root, arq = logging.getLogger(), logging.getLogger("arq")
    before = root.level, list(root.handlers), list(arq.handlers)
    yield
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.level, root.handlers, arq.handlers = before


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().split("\n") if line]


def configured(**settings: Any) -> io.StringIO:
    stream = io.StringIO()
    configure_logging(LogConfig(**settings), stream)
    return stream


def test_an_event_is_one_json_object_on_one_line() -> None:
    stream = configured()
    before = datetime.now(UTC)
    get_logger(lane=3).info("batch_done", size=200, text="two\nlines", nothing=None)
    (line,) = lines(stream)
    assert list(line)[:3] == ["timestamp", "level", "event"]
    moment = datetime.fromisoformat(line.pop("timestamp"))
    assert before <= moment <= datetime.now(UTC)
    assert line == {
        "level": "info",
        "event": "batch_done",
        "lane": 3,
        "size": 200,
        "text": "two\nlines",
        "nothing": None,
    }


def test_what_is_bound_to_the_context_is_on_every_line() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(job_id="01JD"):
        get_logger().info("inside")
        logging.getLogger("arq.worker").warning("inside %s", "too")
    get_logger().info("outside")
    assert [line.get("job_id") for line in lines(stream)] == ["01JD", "01JD", None]


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_only_the_level_and_above_is_written(level: str, written: int) -> None:
    stream = configured(level=level)
    ours, theirs = get_logger(), logging.getLogger("aiohttp.client")
    for name in ("debug", "info", "warning", "error"):
        getattr(ours, name)("x")
        getattr(theirs, name)("x")
    assert len(lines(stream)) == 2 * written


def test_records_of_libraries_come_through_the_same_pipeline_once() -> None:
    arq = logging.getLogger("arq")
    arq.addHandler(logging.StreamHandler(io.StringIO()))
    stream = configured()
    logging.getLogger("arq.worker").warning("%d jobs", 3)
    (line,) = lines(stream)
    assert (line["level"], line["event"], line["logger"]) == ("warning", "3 jobs", "arq.worker")
    assert arq.handlers == []


def test_configuring_twice_does_not_write_twice_and_reaches_loggers_made_before() -> None:
    log = get_logger()
    first = configured()
    log.info("one")
    bound = log.bind(a=1)
    second = configured()
    bound.info("two")
    logging.getLogger("x").info("three")
    assert [line["event"] for line in lines(first)] == ["one"]
    assert [line["event"] for line in lines(second)] == ["two", "three"]


def test_warnings_of_python_are_log_lines() -> None:
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(capture=True)
        warnings.warn("old ways", DeprecationWarning, stacklevel=1)
    assert "old ways" in lines(stream)[0]["event"]


def test_auto_is_text_on_a_terminal_and_json_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = Terminal()
    configure_logging(LogConfig(), terminal)
    get_logger().info("batch_done", size=200)
    assert "batch_done" in terminal.getvalue()
    assert "size=200" in terminal.getvalue()
    assert "{" not in terminal.getvalue()
    assert "\x1b" not in terminal.getvalue()
    terminal = Terminal()
    configure_logging(LogConfig(format="json"), terminal)
    get_logger().info("batch_done")
    assert lines(terminal)


@pytest.mark.parametrize("form", ["json", "console"])
def test_no_known_secret_is_in_any_line(form: str) -> None:
    register_secret(SECRET)
    stream = configured(format=form)
    log = get_logger()
    name = f"event {SECRET}"
    log.info(name, field=SECRET, part=f"a{SECRET}b", deep={"a": [{SECRET: (SECRET,)}]}, raw=SECRET.encode())
    log.info("object", error=ValueError(SECRET), path=Path(f"/x/{SECRET}"), **{SECRET: 1})
    try:
        raise ValueError(f"cannot log in with {SECRET}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("aiohttp").exception("failed with %s", SECRET)
    with structlog.contextvars.bound_contextvars(header=f"Bearer {SECRET}"):
        log.info("context")
    written = stream.getvalue()
    assert SECRET not in written
    assert written.count("***") >= 10
    assert "ValueError: cannot log in with ***" in written.replace("\\n", "\n")
    if form == "json":
        assert len(lines(stream)) == 5


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_field_with_a_telling_name_is_masked_whatever_it_holds(form: str) -> None:
    stream = configured(format=form)
    get_logger().info(
        "x", access_token="q1w2", headers={"Authorization": "q1w2", "Set-Cookie": "q1w2"}, password=b"q1w2"
    )
    logging.getLogger("x").info("headers: {'Authorization': 'q1w2'} redis://ann:q1w2@h")
    assert "q1w2" not in stream.getvalue()


def test_a_missing_secret_is_shown_as_missing() -> None:
    stream = configured()
    get_logger().info("x", token=None, password=False)
    assert (lines(stream)[0]["token"], lines(stream)[0]["password"]) == (None, False)


def test_a_secret_of_digits_does_not_tear_the_json_apart() -> None:
    register_secret("2345")
    stream = configured()
    get_logger().info("x", contact_id=123456, at="12345", list=[2345])
    (line,) = lines(stream)
    assert (line["contact_id"], line["at"], line["list"]) == ("1***6", "1***", ["***"])


def test_a_short_secret_is_masked_where_it_is_the_whole_value_only() -> None:
    register_secret("ab")
    stream = configured()
    get_logger().info("about", field="ab", other="abc")
    (line,) = lines(stream)
    assert (line["event"], line["field"], line["other"]) == ("about", "***", "abc")


@pytest.mark.parametrize("odd", ["\udcff", 2**70, -(2**70), float("nan"), {1: 2}, {"a"}, object(), b"\xff"])
def test_no_value_is_refused(odd: object) -> None:
    stream = configured()
    get_logger().info("x", odd=odd)
    (line,) = lines(stream)
    assert line["event"] == "x"


def test_a_stream_that_is_closed_does_not_stop_the_work() -> None:
    stream = configured()
    stream.close()
    get_logger().error("nobody reads this")


@pytest.mark.parametrize(
    "name",
    ["token", "access_token", "accessToken", "Authorization", "Set-Cookie", "X-Api-Key", "asc_auth_key", "PASSWORD"],
)
def test_names_of_secrets_are_recognised(name: str) -> None:
    assert is_sensitive(name)


@pytest.mark.parametrize("name", ["tokens", "key_sha256", "portal", "requests_per_second", "password_file", "job_id"])
def test_other_names_are_not(name: str) -> None:
    assert not is_sensitive(name)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Authorization: Bearer q1w2", "Authorization: ***"),
        ("{'Authorization': 'q1w2', 'a': 1}", "{'Authorization': '***', 'a': 1}"),
        ("GET /x?asc_auth_key=q1w2&a=1", "GET /x?asc_auth_key=***"),
        ("password=q1w2 user=ann", "password=*** user=ann"),
        ("rediss://ann:q1w2@h:1/0 is away", "rediss://ann:***@h:1/0 is away"),
        ("http://h:80/a@b", "http://h:80/a@b"),
        ("authorization failed", "authorization failed"),
    ],
)
def test_secrets_in_free_text_are_masked_by_their_surroundings(text: str, masked: str) -> None:
    assert mask_text(text) == masked


WORDS = st.text(st.characters(codec="utf-8"), max_size=12)
VALUES = st.recursive(
    WORDS | st.integers() | st.floats() | st.booleans() | st.none() | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=6,
)


@given(
    secret=st.text(st.characters(codec="utf-8"), min_size=MIN_PART_CHARS + 4, max_size=20).filter(
        lambda text: text.strip() and "*" not in text  # the mask itself consists of these
    ),
    value=VALUES,
    before=WORDS,
    after=WORDS,
    form=st.sampled_from(["json", "console"]),
)
def test_a_secret_never_survives_wherever_it_stands(
    secret: str, value: object, before: str, after: str, form: str
) -> None:
    masking._known = masking._Known()
    register_secret(secret)
    stream = configured(format=form)
    get_logger().info("x", text=f"{before}{secret}{after}", deep={"a": [value, secret, {"b": secret}]})
    written = stream.getvalue()
    if form == "json":
        assert len(lines(stream)) == 1
    for shown in (secret, json.dumps(secret)[1:-1], repr(secret)[1:-1]):
        assert shown not in written


@given(VALUES)
def test_without_secrets_plain_data_stays_as_it_is(value: object) -> None:
    masking._known = masking._Known()
    before = json.dumps({"field": value}, default=repr)
    telling = ("://", *masking.SENSITIVE_ENDINGS)
    assume(not any(word in before.lower().replace("-", "_") for word in telling))
    assert json.dumps(mask_value({"field": value}), default=repr) == before
