"""What integration tests share."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from config.logging import configure_logging
from config.settings import LogConfig


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged while the test runs, as JSON, at the most talkative level."""
    root, arq = logging.getLogger(), logging.getLogger("arq")
    before = root.level, list(root.handlers), list(arq.handlers)
    stream = io.StringIO()
    configure_logging(LogConfig(format="json", level="debug"), stream)
    yield stream
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.level, root.handlers, arq.handlers = before
