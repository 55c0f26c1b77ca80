"""Two participants that take part in no payment of a run: `rogue`, which misbehaves, and `mute`, which cannot be told
anything, as it registered no endpoint."""

import asyncio
import uuid
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from bench import messages
from bench.http_parser import Message

if TYPE_CHECKING:
    from tests.faults.dfsps import Scheme

ROGUE, MUTE = "rogue", "mute"
NAMES = (ROGUE, MUTE)

_QUESTIONS = 25  # a second
_OPEN = 32  # requests under way at once
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
_ERROR = b'{"errorInformation":{"errorCode":"3204","errorDescription":"no"}}'


class Rogue:
    """What it sends nobody asked for; what it receives it does not read."""

    def __init__(self, port: int, scheme: "Scheme") -> None:
        self.name, self.port, self._scheme = ROGUE, port, scheme
        self.temper = ""
        self.answers: Counter[int] = Counter()

    def take(self, message: Message) -> bytes:
        """What to answer to the hub: nothing, while it hangs."""
        return b"" if self.temper else _OK

    async def poll(self, count: int, *, by: str = ROGUE, of: str | None = None) -> None:
        """Asks so often for the state of one transfer, or each time of another; there is none of them."""
        await self._send_all(self._poll(by, of or str(uuid.uuid4())) for _ in range(count))

    async def answer_unasked(self) -> None:
        """Once to each of the others: about each alias that is not its own, and about each of its open payments."""
        for name in self._scheme.dfsps:
            aliases = [alias for alias, owner in self._scheme.owners.items() if owner != name]
            await self._send_all(self._about_aliases(name, aliases))
            await self._send_all(self._about_payments(name, self._scheme.history.open_payments(name)[-20:]))

    async def send_odd_bytes(self, to: str, times: int) -> None:
        """Questions that the hub cannot write down again as a request, as their query has octets above 127."""
        question = "authenticationType=OTP&retriesLeft=2&amount=1&currency=USD"
        requests = [self._request(b"GET", f"/authorizations/{uuid.uuid4()}?{question}", to) for _ in range(times)]
        await self._send_all(each.replace(b"currency=USD", b"currency=USD&\xc3\xa9=1") for each in requests)

    async def ask_for_transactions(self, of: str, seconds: float) -> None:
        """Something that a DFSP need not support, again and again."""
        for _ in range(round(seconds * _QUESTIONS)):
            self._scheme.start(self._send(self._request(b"GET", f"/transactions/{uuid.uuid4()}", of)))
            await asyncio.sleep(1 / _QUESTIONS)

    # --- messages ----------------------------------------------------------------------------------------------------

    def _poll(self, by: str, transfer_id: str) -> bytes:
        return messages.ask_transfer(self._scheme.host, by.encode(), b"", transfer_id, self._scheme.clock)

    def _about_aliases(self, to: str, aliases: Iterable[str]) -> list[bytes]:
        found = []
        for alias in aliases:
            path = f"/parties/MSISDN/{alias}"
            found.append(self._request(b"PUT", path, to, messages.party(to.encode(), ROGUE.encode(), alias.encode())))
            found.append(self._request(b"PUT", f"{path}/error", to, _ERROR))
        return found

    def _about_payments(self, to: str, ids: Iterable[str]) -> list[bytes]:
        found = []
        for each in ids:
            found.append(self._request(b"PUT", f"/transactions/{each}", to, b'{"transactionState":"REJECTED"}'))
            found.append(self._request(b"PUT", f"/transactions/{each}/error", to, _ERROR))
            found.append(self._request(b"PUT", f"/authorizations/{each}", to, b'{"responseType":"REJECTED"}'))
            found.append(self._request(b"PUT", f"/authorizations/{each}/error", to, _ERROR))
        return found

    def _request(self, method: bytes, path: str, to: str, body: bytes = b"") -> bytes:
        resource = path.split("/")[1].encode()
        return messages.request(
            self._scheme.host,
            method,
            resource,
            path.encode(),
            ROGUE.encode(),
            to.encode(),
            self._scheme.clock,
            body,
            accept=method == b"GET",
        )

    # --- sending -----------------------------------------------------------------------------------------------------

    async def _send_all(self, requests: Iterable[bytes]) -> None:
        left = iter(requests)

        async def one_after_the_other() -> None:
            for request in left:
                await self._send(request)

        await asyncio.gather(*(one_after_the_other() for _ in range(_OPEN)))

    async def _send(self, request: bytes) -> None:
        """Once: a hub may refuse it, and may be busy, but must not break."""
        status = await self._scheme.ask_hub(request)
        self.answers[status] += 1
        if status >= 500 and status != 503:
            self._scheme.history.strange.append(f"HTTP {status} to {request.split(b' HTTP', 1)[0]!r} of {ROGUE}")
