"""The data of a misbehaving participant: the other participants, the hub's address, and a client for requests."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass

from bench import messages
from bench.client import Client

_PAUSE_S = 0.1  # the pause after a 429, or after a missing response, before the next attempt
_LATE_S = 1.0  # if a sender with a fixed rate is late by more than this number of seconds, the sender skips requests


@dataclass(frozen=True)
class Scene:
    """The other participants and the hub's address. The scene is passed in a file, because a command line is too short
    for the scene."""

    name: str  # name of the misbehaviour
    bad: str  # the misbehaving participant
    mate: str  # a second participant, which only exchanges messages with the misbehaving participant
    good: list[str]
    ports: dict[str, int]  # the ports of the participants `bad` and `mate`
    aliases: dict[str, list[str]]  # the customers of every participant
    hub_host: str
    hub_port: int
    database_url: str
    rows: int  # the number of messages in the queue, for the misbehaviours that fill the queue
    results: str

    @classmethod
    def from_text(cls, text: str) -> "Scene":
        """Reads the text that `as_text` wrote."""
        return cls(**json.loads(text))

    def as_text(self) -> str:
        return json.dumps(asdict(self))


class World:
    """The data of a participant, with a client for requests."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.host = f"{scene.hub_host}:{scene.hub_port}".encode()
        self.bad, self.mate = scene.bad.encode(), scene.mate.encode()
        self.good = [name.encode() for name in scene.good]
        self.client = Client(scene.hub_host, scene.hub_port, most=256)
        self.answers: Counter[int] = Counter()  # the hub's responses by HTTP status; 0 stands for no response
        self._clock = messages.Clock()

    @property
    def clock(self) -> messages.Clock:
        """The current time in the formats that messages use."""
        self._clock.tick()
        return self._clock

    async def ask(self, request: bytes) -> int:
        """Sends one request. Returns the HTTP status of the response."""
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.client.send(request, lambda status: None if answer.done() else answer.set_result(status))
        status = await answer
        self.answers[status] += 1
        return status

    async def flood(self, connections: int, make: Callable[[], bytes]) -> None:
        """Sends requests without end. Each connection sends its next request immediately after the response to its
        previous request.
        """

        async def one_after_the_other() -> None:
            while True:
                if await self.ask(make()) not in (200, 202):
                    await asyncio.sleep(_PAUSE_S)

        await asyncio.gather(*(one_after_the_other() for _ in range(connections)))

    async def pace(self, rate: float, make: Callable[[], bytes]) -> None:
        """Sends this number of requests per second, without end, even if requests fail."""
        under_way: set[asyncio.Task[int]] = set()
        due = time.monotonic()
        while True:
            task = asyncio.get_running_loop().create_task(self.ask(make()))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            due = max(due + 1 / rate, time.monotonic() - _LATE_S)
            await asyncio.sleep(max(0.0, due - time.monotonic()))
