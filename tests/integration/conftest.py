"""What integration tests share."""

import io
import logging
from collections.abc import Iterator

import pytest
import structlog

from cli.embedded import EmbeddedServer
from config.logging import configure_logging
from config.settings import LogConfig


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Capture everything that is logged during the test, as JSON, at the most verbose level."""
    root, arq = logging.getLogger(), logging.getLogger("arq")
    before = root.level, list(root.handlers), list(arq.handlers)
    stream = io.StringIO()
    configure_logging(LogConfig(format="json", level="debug"), stream)
    yield stream
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.level, root.handlers, arq.handlers = before


@pytest.fixture(scope="module")
def private_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """Start a server whose settings a module may change."""
    with EmbeddedServer(tmp_path_factory.mktemp("private"), fsync="no") as server:
        yield server
