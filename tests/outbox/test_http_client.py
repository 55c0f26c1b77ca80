"""HTTP by libcurl: each request gets its own response, whatever else runs in the event loop."""

import asyncio
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hub.http_client import Curl, Reply


class Echo(BaseHTTPRequestHandler):
    """Answers with what was asked: /wait/<ms>/..., /long/<bytes>, /status/<code>."""

    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        _, kind, number, *_ = [*self.path.split("/"), "0", "0"]
        status = 200
        answer = f"{self.command} {self.path} {self.headers['x']} ".encode() + body
        if kind == "wait":
            time.sleep(int(number) / 1000)
        elif kind == "long":
            answer = b"x" * int(number)
        elif kind == "status":
            status = int(number)
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        if kind == "status":
            self.send_header("Location", "/elsewhere")
            self.send_header("Retry-After", "7")
        self.end_headers()
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked may have gone
            self.wfile.write(answer)

    do_GET = do_PUT = do_POST = do_PATCH = _answer

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def in_loop(work: Callable[[Curl], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Curl() as curl:
            await work(curl)

    asyncio.run(run())


async def ask(
    curl: Curl, url: str, *, method: str = "GET", body: bytes = b"", timeout_s: float = 5, x: str = "-"
) -> Reply:
    return await curl.request(method, url, {"x": x}, body, timeout_s=timeout_s, most=10_000)


@pytest.mark.slow
def test_each_request_gets_its_own_answer_also_beside_cancelled_and_late_ones(url: str) -> None:
    chance = random.Random(7)

    async def one(curl: Curl, number: int) -> str:
        method, body = chance.choice([("GET", b""), ("PUT", b"%d" % number), ("POST", b"y" * 5000)])
        path, x = chance.choice([f"/now/{number}", f"/wait/{chance.randrange(20)}/{number}"]), f"x{number}"
        asked = ask(curl, url + path, method=method, body=body, x=x)
        fate = chance.choice(["answered", "answered", "cancelled", "late"])
        if fate == "answered":
            assert (await asked).body == f"{method} {path} {x} ".encode() + body
        elif fate == "cancelled":
            task = asyncio.ensure_future(asked)
            await asyncio.sleep(chance.random() * 0.02)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled() or task.result()
        else:
            asked.close()
            with pytest.raises(TimeoutError):
                await ask(curl, f"{url}/wait/300/{number}", timeout_s=0.02)
        return fate

    async def many(curl: Curl) -> None:
        waves = []
        for number in range(400):
            waves.append(asyncio.ensure_future(one(curl, number)))
            if chance.random() < 0.2:
                await asyncio.sleep(chance.random() * 0.02)
        done = await asyncio.wait_for(asyncio.gather(*waves), 20)
        assert set(done) == {"answered", "cancelled", "late"}

    in_loop(many)


def test_an_answer_is_read_up_to_its_cap_and_its_status_counts(url: str) -> None:
    async def work(curl: Curl) -> None:
        whole, cut = await ask(curl, f"{url}/long/10000"), await ask(curl, f"{url}/long/5000000")
        assert (whole.status, len(whole.body), whole.is_whole) == (200, 10_000, True)
        assert (cut.status, len(cut.body), cut.is_whole) == (200, 10_000, False)
        assert (await ask(curl, f"{url}/now")).is_whole  # the same handle, after a cut

    in_loop(work)


def test_no_redirect_is_followed_and_retry_after_is_told(url: str) -> None:
    async def work(curl: Curl) -> None:
        reply = await ask(curl, f"{url}/status/302")
        assert (reply.status, reply.retry_after_s) == (302, 7)
        assert (await ask(curl, f"{url}/status/503")).retry_after_s == 7
        assert (await ask(curl, f"{url}/now")).retry_after_s is None

    in_loop(work)


@pytest.mark.parametrize(
    "address", ["ftp://127.0.0.1/", "file:///etc/passwd", "http://127.0.0.1:1/", "http://127.0.0.1/a b", "http:///"]
)
def test_what_can_not_be_reached_is_an_os_error(address: str) -> None:
    async def work(curl: Curl) -> None:
        with pytest.raises(OSError, match=r"\w"):
            await ask(curl, address)

    in_loop(work)


@pytest.mark.parametrize("text", ["a\r\nInjected: b", "a\nb", "a\0b", "\u20ac"])
def test_a_header_is_one_line_or_is_not_sent(url: str, text: str) -> None:
    async def work(curl: Curl) -> None:
        with pytest.raises(ValueError, match=r"header|encode"):
            await ask(curl, url, x=text)

    in_loop(work)


def test_whoever_waits_when_the_connections_are_closed_hears_of_it(url: str) -> None:
    async def work(curl: Curl) -> None:
        waiting = asyncio.ensure_future(ask(curl, f"{url}/wait/2000"))
        await asyncio.sleep(0.1)
        curl.close()
        with pytest.raises(OSError, match="closed"):
            await asyncio.wait_for(waiting, 1)

    async def run() -> None:
        await work(Curl())

    asyncio.run(run())
