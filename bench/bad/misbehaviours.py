"""The ways of misbehaving, by name. One class is one way: what its endpoints do, and what it sends."""

import asyncio
import uuid
from collections.abc import Coroutine, Iterator
from itertools import count, cycle
from typing import Any, ClassVar

from bench import messages
from bench.bad import bodies, downloads, full_queue
from bench.bad.endpoint import Manner
from bench.bad.scheme import World
from bench.messages import trace_of
from bench.onboard import BASE

_CONNECTIONS = 64
_TRICKLE = 32_768  # octets at once, of a body that comes slowly
_TRICKLE_S = 0.1


class Misbehaviour:
    """Does nothing: shows how much the others' times change by themselves on this machine."""

    manner: ClassVar[Manner] = Manner.TAKES  # of the participant's own endpoint
    mate_manner: ClassVar[Manner] = Manner.TAKES
    mate_endpoint_type: ClassVar[str] = BASE

    def __init__(self, world: World) -> None:
        self.world = world

    async def prepare(self) -> None:
        """Before there is any load."""

    async def begin(self) -> None:
        """After the first interval; what this takes is not measured."""

    async def misbehave(self) -> None:
        """Until it is cancelled."""
        await asyncio.Event().wait()

    async def end(self) -> None:
        """Before the last interval; what this takes is not measured."""


class Polls(Misbehaviour):
    """Asks for the state of transfers that there are not, as fast as it is let, and takes none of the answers."""

    manner = Manner.SILENT

    async def misbehave(self) -> None:
        await self.world.flood(_CONNECTIONS, lambda: bodies.poll(self.world, self.world.bad))


class _BadEndpoint(Misbehaviour):
    """Payments and lookups, its own and others', all of which need its endpoint."""

    async def misbehave(self) -> None:
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
            world.pace(15, lambda: prepare(first, world.bad, next(inwards))),
            world.pace(15, lambda: prepare(world.bad, second, next(outwards))),
            world.pace(10, lookup),
            world.pace(20, lambda: bodies.poll(world, world.bad)),
        )


class Hangs(_BadEndpoint):
    """Takes part in payments and lookups, its own and others', and answers none of the hub's requests."""

    manner = Manner.HANGS


class Slow(_BadEndpoint):
    """The same, and answers just before the hub gives each request up."""

    manner = Manner.SLOW


class NotImplemented501(_BadEndpoint):
    """The same, and answers 501 to everything."""

    manner = Manner.NOT_IMPLEMENTED


class BigBodies(Misbehaviour):
    """The largest bodies that the API lets through, to every resource: whole, in chunks, and a little at a time."""

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
    """Bodies as large as may be that become as many objects as can be."""

    async def misbehave(self) -> None:
        requests = bodies.to_every_resource(self.world, bodies.brackets())
        await self.world.flood(8, lambda: next(requests))


class OddBytes(Misbehaviour):
    """Messages to others that the hub cannot write as a request, and answers for which there is no endpoint."""

    mate_endpoint_type = "FSPIOP_CALLBACK_URL_QUOTES"

    async def misbehave(self) -> None:
        requests = bodies.odd(self.world)
        await _together(
            self.world.pace(60, lambda: next(requests)),
            self.world.pace(20, lambda: bodies.poll(self.world, self.world.mate)),
        )


class Batches(Misbehaviour):
    """Registers ten thousand aliases, and ten thousand others, again and again."""

    async def misbehave(self) -> None:
        numbers = count()
        await self.world.flood(4, lambda: bodies.batch(self.world, next(numbers) % 20))


class DeadLookups(Misbehaviour):
    """Looks up thousands of aliases of a DFSP that hangs."""

    mate_manner = Manner.HANGS

    async def misbehave(self) -> None:
        world, aliases = self.world, cycle(self.world.scene.aliases[self.world.scene.mate])

        def lookup() -> bytes:
            trace = trace_of(str(uuid.uuid4()))
            return messages.ask_party(world.host, world.bad, next(aliases).encode(), trace, world.clock)

        await world.flood(_CONNECTIONS, lookup)


class Unsolicited(Misbehaviour):
    """Answers what it was not asked, in place of who was, and what nobody was asked."""

    async def misbehave(self) -> None:
        requests = bodies.unasked(self.world)
        await self.world.flood(8, lambda: next(requests))


class OpenBulks(Misbehaviour):
    """Bulk transfers of a thousand each to a payee that never answers."""

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
    """A million messages of one subject wait for a participant where nothing listens."""

    manner, one_subject = Manner.DEAD, True


class OneSubjectSlow(_Waiting):
    """A million messages of one subject wait for a participant that answers slowly."""

    manner, one_subject = Manner.SLOW, True


class ManySubjectsDead(_Waiting):
    """A million messages, each of a subject of its own, wait for a participant where nothing listens."""

    manner, one_subject = Manner.DEAD, False


class ManySubjectsSlow(_Waiting):
    """A million messages, each of a subject of its own, wait for a participant that answers slowly."""

    manner, one_subject = Manner.SLOW, False


class Downloads(Misbehaviour):
    """Sixty files of transfers asked of the portal by one participant's user, and not read."""

    async def prepare(self) -> None:
        self._cookie = await asyncio.to_thread(downloads.sign_in, self.world.scene.database_url)

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
