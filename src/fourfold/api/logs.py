"""How a service writes its log: lines of JSON for machines, or of names and values for a person at a terminal."""

import logging
from typing import TextIO

import structlog
from structlog.types import Processor

_ROOT_LEVEL, _SERVER_LEVEL = logging.INFO, logging.WARNING


def write_logs(stream: TextIO) -> None:
    """Send everything that is logged to a stream, one line each, with the id of the request that it belongs to.

    Where logging has been set up already, by a program that this service is a part of, it stays as it is.
    """
    root = logging.getLogger()
    if root.handlers:
        return
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_formatter(terminal=stream.isatty()))
    root.addHandler(handler)
    root.setLevel(_ROOT_LEVEL)
    logging.getLogger("uvicorn").setLevel(_SERVER_LEVEL)


def _formatter(*, terminal: bool) -> logging.Formatter:
    described: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendered: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if terminal:
        rendered += [structlog.dev.ConsoleRenderer()]
    else:
        rendered += [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(default=str)]
    return structlog.stdlib.ProcessorFormatter(processors=rendered, foreign_pre_chain=described)
