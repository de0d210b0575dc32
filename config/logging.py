"""Log lines: one event per line, JSON or text, from structlog and the standard library alike, without secrets.

A line has `timestamp` (UTC, ISO 8601), `level` and `event` (a stable name), then the fields bound to the context and
those passed in the call. Lines of libraries also have `logger`.
"""

import io
import json
import logging
import os
import sys
from collections.abc import Callable
from threading import Lock
from typing import Any, TextIO, cast

import msgspec
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from config.masking import is_sensitive, line_shows_secret, mask_field, mask_text, mask_value
from config.models import LogConfig
from config.tracing import add_trace

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

#: Types that msgspec writes as they are and that cannot contain a field named like a secret.
_FLAT = frozenset({str, int, float, bool, type(None)})


class _Output:
    """Writes whole lines to one stream. It has the methods that structlog requires of the innermost logger."""

    def __init__(self) -> None:
        self._lock = Lock()
        # A process may have been started without standard error; then there is nothing to write to.
        stream = sys.stderr or io.StringIO()
        self._write: Callable[[str], object] = stream.write
        self._flush: Callable[[], object] = stream.flush

    def open(self, stream: TextIO) -> None:
        """Send all further lines to a stream, including those of loggers made earlier."""
        self._write, self._flush = stream.write, stream.flush

    def msg(self, line: str) -> None:
        """Write one line. A log that cannot be written (a closed pipe, a full disk) must not stop the work."""
        with self._lock:
            try:
                self._write(line)
                self._flush()
            except (OSError, ValueError):
                return

    debug = info = warning = warn = error = critical = exception = fatal = log = msg


_output = _Output()


class _StandardLibraryBridge(logging.Handler):
    """Passes the records of standard-library loggers (arq, aiohttp, asyncio) through the same processors."""

    def __init__(self, processors: list[Processor]) -> None:
        super().__init__()
        self._processors = processors

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        try:
            event: Any = {"event": mask_text(record.getMessage()), "logger": record.name}
            if record.exc_info:
                event["exc_info"] = record.exc_info
            for process in self._processors:
                event = process(None, record.levelname.lower(), event)
        except Exception:  # noqa: BLE001 - logging's own contract: a bad record is reported, never raised
            self.handleError(record)
        else:
            _output.msg(event)


def configure_logging(log: LogConfig, stream: TextIO | None = None) -> None:
    """Set up logging for this process; call it once at start, and again only to change the stream or the level.

    Args:
        log: format and level.
        stream: where lines go; by default standard error.
    """
    stream = sys.stderr if stream is None else stream
    terminal = stream.isatty()
    level = _LEVELS[log.level]
    text = log.format == "console" or (log.format == "auto" and terminal)
    processors: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        *(_text_tail(colors=terminal and not os.environ.get("NO_COLOR")) if text else _json_tail()),
    ]
    _output.open(stream)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _output,
        cache_logger_on_first_use=True,
    )
    _take_over_standard_library(_StandardLibraryBridge(processors), level)


def _take_over_standard_library(bridge: logging.Handler, level: int) -> None:
    """Make the bridge the only way out for standard-library records and Python's warnings."""
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler or isinstance(handler, _StandardLibraryBridge):
            root.removeHandler(handler)
    root.addHandler(bridge)
    root.setLevel(level)
    # The arq command gives its logger a handler of its own; without this, its lines would appear twice.
    logging.getLogger("arq").handlers.clear()
    logging.captureWarnings(capture=True)


def get_logger(**fields: object) -> FilteringBoundLogger:
    """Return a logger; its level methods take an event's name and its fields.

    Args:
        fields: bound to every line of this logger.
    """
    return cast("FilteringBoundLogger", structlog.get_logger(**fields))


def _json_tail() -> list[Processor]:
    return [structlog.processors.ExceptionRenderer(), _mask_named_fields, _render_json]


def _text_tail(*, colors: bool) -> list[Processor]:
    # The plain formatter: the rich one prints local variables, and with them the contents of a request.
    console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=structlog.dev.plain_traceback)

    def render(logger: WrappedLogger, method: str, event_dict: EventDict) -> str:
        exc_info = event_dict.pop("exc_info", None)
        masked = mask_value(event_dict)
        if exc_info:
            masked["exc_info"] = exc_info
        return mask_text(str(console(logger, method, masked))) + "\n"

    return [render]


def _mask_named_fields(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> EventDict:
    """Mask fields named like a secret, also inside values that can have such fields."""
    for name, value in event_dict.items():
        if type(value) not in _FLAT or is_sensitive(name):
            event_dict[name] = mask_field(name, value)
    if "exception" in event_dict:
        event_dict["exception"] = mask_text(event_dict["exception"])
    return event_dict


def _render_json(_logger: WrappedLogger, _method: str, event_dict: EventDict) -> str:
    ordered = {
        "timestamp": event_dict.pop("timestamp"),
        "level": event_dict.pop("level"),
        "event": event_dict.pop("event"),
        **event_dict,
    }
    line = _encode(ordered)
    if line_shows_secret(line):
        # Masked in the data, not in the line: masking a secret made of digits must not break a number, or the JSON.
        line = _encode(mask_value(ordered))
    return line.decode() + "\n"


def _encode(event: dict[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(event)
    except (UnicodeEncodeError, OverflowError, TypeError, ValueError):
        # Text that is not Unicode, or an integer beyond 64 bits: json is slower, but accepts anything.
        return json.dumps(mask_value(event), default=repr).encode()
