"""How an endpoint that misbehaves treats the hub, over real sockets."""

import asyncio

import pytest

from bench.bad import endpoint as endpoints
from bench.bad.endpoint import Endpoint, Manner
from bench.run import free_ports

REQUEST = b"PUT /transfers/x HTTP/1.1\r\nHost: dfsp\r\nContent-Length: 2\r\n\r\n{}"
PATIENCE_S = 0.3


async def status_of(port: int) -> int:
    """The HTTP status of one request, or 0 where there is none in time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(REQUEST)
        return int((await asyncio.wait_for(reader.readline(), PATIENCE_S))[9:12])
    except TimeoutError:
        return 0
    finally:
        writer.close()


def statuses(manner: Manner) -> tuple[list[int], Endpoint]:
    """Before it misbehaves, while it does, and after."""

    async def ask() -> tuple[list[int], Endpoint]:
        (port,) = free_ports(1)
        endpoint = Endpoint(port, manner)
        await endpoint.listen()
        found = [await status_of(port)]
        endpoint.misbehave()
        found.append(await status_of(port))
        endpoint.behave()
        return [*found, await status_of(port)], endpoint

    return asyncio.run(ask())


@pytest.mark.parametrize(
    ("manner", "status"),
    [(Manner.TAKES, 200), (Manner.NOT_IMPLEMENTED, 501), (Manner.HANGS, 0), (Manner.SLOW, 0), (Manner.SILENT, 0)],
)
def test_an_endpoint_misbehaves_between_the_two_orders_only(manner: Manner, status: int) -> None:
    found, endpoint = statuses(manner)
    assert found == [200, status, 200]
    assert endpoint.seen["transfers"] == (2 if manner is Manner.SILENT else 3)  # what it does not read it does not see
    assert endpoint.seen["connections"] == 3


def test_a_slow_one_answers_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoints, "SLOW_S", 0.1)
    assert statuses(Manner.SLOW)[0] == [200, 200, 200]


def test_nothing_listens_at_a_dead_one() -> None:
    with pytest.raises(ConnectionRefusedError):
        statuses(Manner.DEAD)
