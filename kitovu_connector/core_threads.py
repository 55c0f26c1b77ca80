"""Runs the methods of a core without asyncio in threads, so that the connector's event loop never waits for them."""

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from concurrent import futures
from contextlib import suppress
from typing import Any

from kitovu_connector.backend import Backend, OwnerBackend
from kitovu_connector.bulk_transactions import BulkTransactionBackend
from kitovu_connector.fxp import FxBackend
from kitovu_connector.incoming_bulk_records import BulkBackend
from kitovu_connector.requests_to_pay import PasswordBackend, RequestBackend, RequestNotesBackend

_INTERFACES = (
    *(Backend, OwnerBackend, FxBackend, BulkBackend, BulkTransactionBackend),
    *(RequestBackend, PasswordBackend, RequestNotesBackend),
)
_METHODS = sorted({name for interface in _INTERFACES for name in vars(interface) if not name.startswith("_")})


class CoreThreads:
    """Threads for plain functions. Each function has at most `number` threads of its own, so slow calls of one function
    do not delay the other functions.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self._pools: list[futures.ThreadPoolExecutor] = []
        self._running: set[futures.Future[Any]] = set()

    def awaitable(self, name: str, function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
        """Returns a coroutine function that runs `function` in a thread. Returns a coroutine function as it is."""
        if inspect.iscoroutinefunction(function):
            return function
        pool = futures.ThreadPoolExecutor(self._number, thread_name_prefix=f"core-{name}")
        # A call waits here, and not in the pool's queue, so that a cancelled call takes no memory.
        places = asyncio.Semaphore(self._number)
        self._pools.append(pool)

        async def call(*values: Any, **named: Any) -> Any:
            await places.acquire()
            loop = asyncio.get_running_loop()
            running = pool.submit(_guarded, function, values, named)
            self._running.add(running)

            def ended() -> None:
                self._running.discard(running)
                places.release()

            def note_end(_: futures.Future[Any]) -> None:
                with suppress(RuntimeError):  # the event loop has ended before the function
                    loop.call_soon_threadsafe(ended)

            # A cancelled call keeps its place until its function has returned, because a thread cannot be stopped.
            running.add_done_callback(note_end)
            result = await asyncio.wrap_future(running)
            return await result if inspect.isawaitable(result) else result

        return call

    async def close(self, seconds: float) -> None:
        """Waits until the running functions have returned, but at most for `seconds`."""
        if self._running:
            await asyncio.to_thread(futures.wait, list(self._running), seconds)
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)


class ThreadedBackend:
    """A core without asyncio, with the interface that the connector expects. Has exactly the methods of the core."""

    def __init__(self, core: object, threads: CoreThreads) -> None:
        for name in _METHODS:
            method = getattr(core, name, None)
            if callable(method):
                setattr(self, name, threads.awaitable(name, method))


def _guarded(function: Callable[..., Any], values: tuple[Any, ...], named: dict[str, Any]) -> Any:
    try:
        return function(*values, **named)
    # A future cannot hold StopIteration. The other errors, such as SystemExit, would end the event loop's thread.
    except StopIteration as error:
        raise RuntimeError("StopIteration in the core") from error
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"{type(error).__name__} in the core") from error
