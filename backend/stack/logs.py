"""Logs as one JSON object a line, on stderr. Tracebacks carry no values of variables: those may be secrets."""

import logging
import sys

import structlog

from backend.settings import settings

SERVERS = ("celery", "uvicorn", "uvicorn.error")
"""Libraries whose lines of the level INFO are wanted; others tell addresses there, so only their warnings are."""
PROCESSORS = (
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
)


def configure_logs() -> None:
    """Once a process, before its first line."""
    level = logging.getLevelNamesMapping().get(settings().log_level.upper(), logging.INFO)
    structlog.configure(
        processors=[*PROCESSORS, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=True,
    )
    _take_over_libraries(level)


def _take_over_libraries(level: int) -> None:
    """What libraries say through the standard library's logging comes in the same form."""
    root = logging.getLogger()
    if not any(isinstance(handler.formatter, structlog.stdlib.ProcessorFormatter) for handler in root.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(
            structlog.stdlib.ProcessorFormatter(
                foreign_pre_chain=PROCESSORS,
                processors=[
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    structlog.processors.JSONRenderer(),
                ],
            )
        )
        root.addHandler(handler)
    root.setLevel(max(level, logging.WARNING))
    for name in SERVERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        logger.setLevel(level)
