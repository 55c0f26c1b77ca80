"""The misbehaving participant, in a separate process.

`python -m bench.bad.misbehaving_process FILE` reads the `Scene` (the other participants and the hub's address) from
FILE.

The process reads the commands `prepare`, `take-part`, `begin` and `end` from its standard input. After each command,
the process writes the name of the command. After the command `quit`, the process writes its records. The process runs
at low priority, because a participant of a real scheme has its own machine.
"""

import asyncio
import gc
import json
import os
import sys
import threading
from contextlib import suppress
from pathlib import Path

from bench.bad.endpoint import Endpoint
from bench.bad.misbehaviours import ALL
from bench.bad.scene_and_client import Scene, World

_NICE = 10


async def _live(scene: Scene) -> dict[str, object]:
    """Runs the commands. Returns the records."""
    world = World(scene)
    misbehaviour = ALL[scene.name](world)
    endpoints = {
        scene.bad: Endpoint(scene.ports[scene.bad], misbehaviour.manner),
        scene.mate: Endpoint(scene.ports[scene.mate], misbehaviour.mate_manner),
    }
    for endpoint in endpoints.values():
        await endpoint.listen()
    orders = _orders()
    misbehaving: asyncio.Task[None] | None = None
    taking_part: asyncio.Task[None] | None = None
    while (order := await orders.get()) != "quit":
        match order:
            case "prepare":
                await misbehaviour.prepare()
                gc.freeze()
            case "take-part":
                taking_part = asyncio.create_task(misbehaviour.take_part())
            case "begin":
                for endpoint in endpoints.values():
                    endpoint.misbehave()
                await misbehaviour.begin()
                misbehaving = asyncio.create_task(misbehaviour.misbehave())
            case "end":
                assert misbehaving is not None
                await _stop(misbehaving)
                await misbehaviour.end()
                for endpoint in endpoints.values():
                    endpoint.behave()
        print(order, flush=True)
    if taking_part is not None:
        await _stop(taking_part)
    return {"answers": dict(world.answers), "received": {name: dict(each.seen) for name, each in endpoints.items()}}


async def _stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (error := task.exception()) is not None:
        raise error  # the task failed before it was cancelled


def _orders() -> asyncio.Queue[str]:
    """Returns a queue with the lines of the standard input. When the standard input ends, this function adds `quit` to
    the queue."""
    loop, found = asyncio.get_running_loop(), asyncio.Queue[str]()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(found.put_nowait, line.strip())
        with suppress(RuntimeError):  # an earlier `quit` has already ended the loop
            loop.call_soon_threadsafe(found.put_nowait, "quit")

    threading.Thread(target=read, daemon=True).start()
    return found


def main(scene: Scene) -> None:
    os.nice(_NICE)
    Path(scene.results).write_text(json.dumps(asyncio.run(_live(scene))))


if __name__ == "__main__":
    main(Scene.from_text(Path(sys.argv[1]).read_text()))
