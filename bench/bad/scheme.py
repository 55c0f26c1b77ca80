"""What a participant that misbehaves knows: who takes part, where the hub is, and how to send to it."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from bench import messages
from bench.client import Client

_PAUSE_S = 0.1  # one that was refused for its rate, or not answered, tries again after this
_LATE_S = 1.0  # a fixed rate is not caught up with after this


@dataclass(frozen=True)
class Scene:
    """Who takes part; written to a file, as it is too long for a command line."""

    name: str  # of the misbehaviour
    bad: str  # the participant that misbehaves
    mate: str  # a second one, that has to do with the first alone
    good: list[str]
    ports: dict[str, int]  # of the two bad ones
    aliases: dict[str, list[str]]  # everybody's customers
    hub_host: str
    hub_port: int
    database_url: str
    rows: int  # how many messages are put into the queue, where that is what is done
    results: str

    @classmethod
    def from_text(cls, text: str) -> "Scene":
        """Reads what `as_text` wrote."""
        return cls(**json.loads(text))

    def as_text(self) -> str:
        return json.dumps(asdict(self))


class World:
    """The scene, and a client of its own to send with."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.host = f"{scene.hub_host}:{scene.hub_port}".encode()
        self.bad, self.mate = scene.bad.encode(), scene.mate.encode()
        self.good = [name.encode() for name in scene.good]
        self.client = Client(scene.hub_host, scene.hub_port, most=256)
        self.answers: Counter[int] = Counter()  # of the hub, by HTTP status; 0 where there was none
        self._clock = messages.Clock()

    @property
    def clock(self) -> messages.Clock:
        """The moment, as messages write it."""
        self._clock.tick()
        return self._clock

    async def ask(self, request: bytes) -> int:
        """Sends one request; its HTTP status."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.client.send(request, lambda status: None if answer.done() else answer.set_result(status))
        status = await answer
        self.answers[status] += 1
        return status

    async def flood(self, connections: int, make: Callable[[], bytes]) -> None:
        """On each of so many connections the next request as soon as the last one is answered, for ever."""

        async def one_after_the_other() -> None:
            while True:
                if await self.ask(make()) not in (200, 202):
                    await asyncio.sleep(_PAUSE_S)

        await asyncio.gather(*(one_after_the_other() for _ in range(connections)))

    async def pace(self, rate: float, make: Callable[[], bytes]) -> None:
        """So many requests a second, for ever, whatever becomes of them."""
        under_way: set[asyncio.Task[int]] = set()
        due = time.monotonic()
        while True:
            task = asyncio.get_running_loop().create_task(self.ask(make()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due = max(due + 1 / rate, time.monotonic() - _LATE_S)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
