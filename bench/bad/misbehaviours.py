"""The kinds of misbehaviour, by name.

Each class defines one kind of misbehaviour: how the participant's endpoint responds, and which requests the participant
sends.
"""

import asyncio
import uuid
from collections.abc import Coroutine, Iterator
from itertools import count, cycle
from typing import Any, ClassVar

from bench import messages
from bench.bad import downloads, full_queue
from bench.bad import requests as bodies
from bench.bad.endpoint import Manner
from bench.bad.scene_and_client import World
from bench.messages import trace_of
from bench.onboard import BASE

_CONNECTIONS = 64
_TRICKLE = 32_768  # bytes per chunk of a body that is sent slowly
_TRICKLE_S = 0.1


class Misbehaviour:
    """Does nothing.

    Does not misbehave. A trial with this class shows how much the other participants' times vary without any
    misbehaviour.
    """

    manner: ClassVar[Manner] = Manner.TAKES  # how the participant's own endpoint responds
    mate_manner: ClassVar[Manner] = Manner.TAKES
    mate_endpoint_type: ClassVar[str] = BASE

    def __init__(self, world: World) -> None:
        self.world = world

    async def prepare(self) -> None:
        """This method runs before the load begins."""

    async def take_part(self) -> None:
        """Sends the same requests in all intervals, from the beginning to the end of the load."""

    async def begin(self) -> None:
        """This method runs after the first interval. The duration of this method is not measured."""

    async def misbehave(self) -> None:
        """Runs the misbehaviour until the task is cancelled."""
        await asyncio.Event().wait()

    async def end(self) -> None:
        """This method runs before the last interval. The duration of this method is not measured."""


class Polls(Misbehaviour):
    """Sends GET /transfers for transfers that do not exist, as fast as the hub allows. The participant's endpoint never
    reads the hub's answers."""

    manner = Manner.SILENT

    async def misbehave(self) -> None:
        await self.world.flood(_CONNECTIONS, lambda: bodies.poll(self.world, self.world.bad))


class _BadEndpoint(Misbehaviour):
    """Takes part in payments and lookups that need the participant's endpoint. The misbehaving participant sends some
    of the requests for this load, and other participants send the rest.

    The misbehaving participant sends the same requests in all intervals. The intervals differ only in the behaviour of
    the endpoint.
    """

    async def take_part(self) -> None:
        world = self.world
        first, second = world.good
        inwards = cycle(messages.pool(first.decode(), world.scene.bad))
        outwards = cycle(messages.pool(world.scene.bad, second.decode()))
        aliases = cycle(world.scene.aliases[world.scene.bad])

        def prepare(payer: bytes, payee: bytes, packet: messages.Packet) -> bytes:
            return messages.prepare(world.host, payer, payee, packet, str(uuid.uuid4()).encode(), world.clock)

        def lookup() -> bytes:
            trace = trace_of(str(uuid.uuid4()))
            return messages.ask_party(world.host, first, next(aliases).encode(), trace, world.clock)

        await _together(
            world.pace(5, lambda: prepare(first, world.bad, next(inwards))),
            world.pace(5, lambda: prepare(world.bad, second, next(outwards))),
            world.pace(4, lookup),
            world.pace(8, lambda: bodies.poll(world, world.bad)),
        )


class Hangs(_BadEndpoint):
    """Takes part in payments and lookups of all participants, but does not respond to the hub's requests."""

    manner = Manner.HANGS


class Slow(_BadEndpoint):
    """Takes part in payments and lookups of all participants, but responds shortly before the hub's time limit."""

    manner = Manner.SLOW


class NotImplemented501(_BadEndpoint):
    """Takes part in payments and lookups of all participants, but responds to all requests with 501."""

    manner = Manner.NOT_IMPLEMENTED


class BigBodies(Misbehaviour):
    """Sends bodies of the largest allowed size to every resource: some bodies in one piece, some in chunks, and some
    slowly."""

    async def misbehave(self) -> None:
        body = bodies.long_text()
        whole = bodies.to_every_resource(self.world, body)
        chunked = bodies.to_every_resource(self.world, body, is_chunked=True)
        slow = bodies.to_every_resource(self.world, body)
        await _together(
            self.world.flood(4, lambda: next(whole)),
            self.world.flood(4, lambda: next(chunked)),
            *(self._trickle(slow) for _ in range(16)),
        )

    async def _trickle(self, requests: Iterator[bytes]) -> None:
        while True:
            try:
                self.world.answers[await self._send_slowly(next(requests))] += 1
            except OSError:
                self.world.answers[0] += 1
                await asyncio.sleep(_TRICKLE_S)

    async def _send_slowly(self, request: bytes) -> int:
        reader, writer = await asyncio.open_connection(self.world.scene.hub_host, self.world.scene.hub_port)
        try:
            for at in range(0, len(request), _TRICKLE):
                writer.write(request[at : at + _TRICKLE])
                await writer.drain()
                await asyncio.sleep(_TRICKLE_S)
            return int((await reader.readline())[9:12] or 0)
        finally:
            writer.close()


class Brackets(Misbehaviour):
    """Sends bodies of the largest size, with as many objects as possible."""

    async def misbehave(self) -> None:
        requests = bodies.to_every_resource(self.world, bodies.brackets())
        await self.world.flood(8, lambda: next(requests))


class OddBytes(Misbehaviour):
    """Sends requests that the hub cannot forward, and requests from a participant that has no endpoint for the answers.
    Sends these requests at the same rate as any other participant. A higher rate would only measure the load of
    additional requests.
    """

    mate_endpoint_type = "FSPIOP_CALLBACK_URL_QUOTES"

    async def misbehave(self) -> None:
        requests = bodies.odd(self.world)
        await _together(
            self.world.pace(12, lambda: next(requests)),
            self.world.pace(4, lambda: bodies.poll(self.world, self.world.mate)),
        )


class Batches(Misbehaviour):
    """Repeatedly registers ten thousand new aliases at a time."""

    async def misbehave(self) -> None:
        numbers = count()
        await self.world.flood(4, lambda: bodies.batch(self.world, next(numbers) % 20))


class DeadLookups(Misbehaviour):
    """Looks up thousands of aliases of a DFSP that never answers."""

    mate_manner = Manner.HANGS

    async def misbehave(self) -> None:
        world, aliases = self.world, cycle(self.world.scene.aliases[self.world.scene.mate])

        def lookup() -> bytes:
            trace = trace_of(str(uuid.uuid4()))
            return messages.ask_party(world.host, world.bad, next(aliases).encode(), trace, world.clock)

        await world.flood(_CONNECTIONS, lookup)


class Unsolicited(Misbehaviour):
    """Sends answers that nobody requested. Some of these answers claim to come from another DFSP. Other answers have
    the id of a request that does not exist.
    """

    async def misbehave(self) -> None:
        requests = bodies.unasked(self.world)
        await self.world.flood(8, lambda: next(requests))


class OpenBulks(Misbehaviour):
    """Sends bulk transfers with a thousand transfers each to a payee that never answers."""

    mate_manner = Manner.HANGS

    async def misbehave(self) -> None:
        await self.world.flood(4, bodies.Bulks(self.world))


class _Waiting(Misbehaviour):
    one_subject: ClassVar[bool]

    async def begin(self) -> None:
        scene = self.world.scene
        await asyncio.to_thread(
            full_queue.fill, scene.database_url, scene.bad, scene.rows, one_subject=self.one_subject
        )

    async def end(self) -> None:
        await asyncio.to_thread(full_queue.empty, self.world.scene.database_url, self.world.scene.bad)


class OneSubjectDead(_Waiting):
    """A million messages of one subject wait for a participant whose port is closed."""

    manner, one_subject = Manner.DEAD, True


class OneSubjectSlow(_Waiting):
    """A million messages of one subject wait for a participant that answers slowly."""

    manner, one_subject = Manner.SLOW, True


class ManySubjectsDead(_Waiting):
    """A million messages with different subjects wait for a participant whose port is closed."""

    manner, one_subject = Manner.DEAD, False


class ManySubjectsSlow(_Waiting):
    """A million messages with different subjects wait for a participant that answers slowly."""

    manner, one_subject = Manner.SLOW, False


class Downloads(Misbehaviour):
    """As one participant's user, requests sixty files of transfers from the portal and does not read the files."""

    async def prepare(self) -> None:
        self._cookie = await asyncio.to_thread(downloads.sign_in, self.world.scene.database_url)

    async def take_part(self) -> None:
        """Before a process sends its first page, it loads the portal's modules and templates. This is no
        misbehaviour."""
        await downloads.begin_some(self.world, self._cookie)

    async def misbehave(self) -> None:
        await downloads.hold(self.world, self._cookie)


ALL: dict[str, type[Misbehaviour]] = {
    "nothing": Misbehaviour,
    "polls": Polls,
    "hangs": Hangs,
    "slow": Slow,
    "not-implemented": NotImplemented501,
    "big-bodies": BigBodies,
    "brackets": Brackets,
    "odd-bytes": OddBytes,
    "batches": Batches,
    "dead-lookups": DeadLookups,
    "unsolicited": Unsolicited,
    "waiting-one-subject-dead": OneSubjectDead,
    "waiting-one-subject-slow": OneSubjectSlow,
    "waiting-many-subjects-dead": ManySubjectsDead,
    "waiting-many-subjects-slow": ManySubjectsSlow,
    "open-bulks": OpenBulks,
    "downloads": Downloads,
}


async def _together(*all_of_it: Coroutine[Any, Any, None]) -> None:
    await asyncio.gather(*all_of_it)
