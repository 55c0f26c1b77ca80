"""Structured logs: one JSON object per line on standard error.

A line contains no local variables of a failed function, because these variables can contain secrets and customers'
data. A line contains no phone number.
"""

import logging
import re
import sys
import traceback
from typing import Any

import msgspec
import structlog

# Sequences of digits as long as a phone number. The digits in ids of payments stay, because they follow a hyphen or a
# letter.
_NUMBER = re.compile(r"(?<![0-9A-Za-z-])\+?[0-9]{7,}(?![0-9A-Za-z-])")
_HIDDEN = "<number>"


def without_numbers(text: str) -> str:
    """Returns the text with each phone number hidden."""
    return _NUMBER.sub(_HIDDEN, text)


def trace_of(error: BaseException) -> str:
    """Returns the error's text, together with the error's stack trace. The text has no local variables and no phone
    numbers.
    """
    return without_numbers("".join(traceback.format_exception(error)))


def configure(level: str) -> None:
    """Configures the logging of this process: structlog, and the standard library's logging, which aiohttp uses."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _hide_numbers,
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(serializer=_to_text),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)


def _hide_numbers(_: Any, __: str, event: Any) -> Any:
    return {name: without_numbers(value) if isinstance(value, str) else value for name, value in event.items()}


def _to_text(event: dict[str, Any], **_: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()
