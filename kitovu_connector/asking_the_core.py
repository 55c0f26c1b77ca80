"""Requests customers and terms from the core.

Converts every result, including an error or a time-out, into an answer for the requesting DFSP.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from fspiop import bodies, strictjson
from fspiop.bodies.errors import ErrorPut
from fspiop.errors import MAX_DESCRIPTION, ErrorCode, FspiopError, error_body, text_of
from kitovu_connector import logs
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable

T = TypeVar("T")
log = structlog.get_logger(__name__)

_CODE = re.compile(r"[1-9][0-9]{3}\Z")
_LONGEST_PAUSE_S = 2.0


@dataclass(frozen=True, slots=True)
class No:
    """An error code and its text. The requesting DFSP gets both as the answer."""

    code: str
    text: str = ""


async def ask(call: Callable[[], Awaitable[T]], *, seconds: float, otherwise: ErrorCode) -> T | No:
    """Returns the core's answer, or the error for the requesting DFSP. Never raises an error. Returns after at most
    `seconds`.

    If the core's error code is not allowed in the API, the code `otherwise` replaces it.
    """
    try:
        return await timely(lambda: _until_available(call), seconds)
    except Refused as no:
        return allowed(no, otherwise)
    except (Unavailable, TimeoutError):
        log.warning("core_not_available", why=f"no answer within {seconds} s")
        return No(ErrorCode.DESTINATION_COMMUNICATION_ERROR.code, "the payee DFSP's core does not answer")
    except NotUnderstood as error:
        return not_understood(error)
    except Exception as error:
        log.error("core_failed", error=logs.trace_of(error))
        return No(ErrorCode.INTERNAL_SERVER_ERROR.code, "the payee DFSP's core failed")


def allowed(no: Refused, otherwise: ErrorCode) -> No:
    """Returns the core's refusal, with a code that the API allows."""
    code, text = str(no.code), str(no.text or "")
    if _CODE.match(code):
        log.info("refused_by_core", code=code)
        return No(code, text)
    log.warning("refused_by_core", code=logs.without_numbers(code), why=f"not four digits: {otherwise.code} instead")
    return No(otherwise.code, text)


def not_understood(error: Exception) -> No:
    """Returns the error for the requesting DFSP when the core's answer is unreadable. Logs the reason, for the bank's
    developers."""
    log.error("core_not_understood", why=logs.without_numbers(str(error)))
    return No(ErrorCode.INTERNAL_SERVER_ERROR.code, "the answer of the payee DFSP's core is invalid")


def error_put(no: No) -> bytes:
    """Returns the body of PUT .../error."""
    description = (no.text.strip() or text_of(no.code))[:MAX_DESCRIPTION]
    raw = strictjson.canonical(error_body(no.code, description))
    try:
        bodies.read(ErrorPut, raw)
    except FspiopError:  # JSON cannot encode some texts, such as half of a surrogate pair
        return strictjson.canonical(error_body(no.code, text_of(no.code)))
    return raw


async def timely(call: Callable[[], Awaitable[T]], seconds: float) -> T:
    """Returns the core's result.

    Raises Unavailable if the call takes too long, because the call's outcome is then unknown.

    After the time limit, cancels the call. If a core in Python ignores the cancellation, only this one call takes
    longer.
    """
    task = asyncio.ensure_future(_awaited(call))
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
    if not done:
        task.add_done_callback(_note_late_error)
        raise Unavailable(f"no answer within {seconds} s")
    if task.cancelled():
        raise Unavailable("the core cancelled the call")
    return task.result()


async def _awaited(call: Callable[[], Awaitable[T]]) -> T:
    return await call()


def _note_late_error(task: "asyncio.Future[Any]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("core_failed", why="after the connector had stopped waiting", error=logs.trace_of(error))


async def _until_available(call: Callable[[], Awaitable[T]]) -> T:
    pause = 0.2
    while True:
        try:
            return await call()
        except Unavailable as error:
            log.warning("core_not_available", why=logs.without_numbers(str(error)))
        await asyncio.sleep(pause)
        pause = min(pause * 2, _LONGEST_PAUSE_S)
