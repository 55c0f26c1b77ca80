"""The doctor finds what keeps events from the core, and a core that takes events of anybody."""

import asyncio
import hmac
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aiohttp import web

from hub.local.net import free_port
from kitovu_connector.config import Config
from kitovu_connector.doctor import Verdict, examine
from kitovu_connector.events import signature
from tests.connector.test_events import KEY, SECRET

OTHER_SECRET = f"whsec_{'A' * 44}"


def found(folder: Path, take: Callable[[bool], int] | None, secret: str = SECRET) -> tuple[Verdict, str]:
    """The finding about a core that answers by whether the signature is right. None: there is no core."""
    bodies: list[bytes] = []

    async def receive(request: web.Request) -> web.Response:
        assert take is not None
        body, named = await request.read(), request.headers
        bodies.append(body)
        wanted = signature(KEY, named["webhook-id"], named["webhook-timestamp"], body)
        return web.Response(status=take(hmac.compare_digest(wanted, named["webhook-signature"])))

    async def main() -> tuple[Verdict, str]:
        port, app = free_port(), web.Application()
        app.router.add_post("/events", receive)
        runner = web.AppRunner(app)
        await runner.setup()
        if take is not None:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        config = Config(
            dfsp="green",
            hub_url="http://127.0.0.1:9",
            state=folder,
            ilp_secret="s" * 16,
            backend_url="http://127.0.0.1:9",
            inbound_port=1,
            outbound_port=2,
            inbound_is_private=True,
            request_s=0.5,
            webhook_url=f"http://127.0.0.1:{port}/events",
            webhook_secret=secret,
        )
        (finding,) = [each async for each in examine(config) if each.check == "webhook"]
        await runner.cleanup()
        return finding.verdict, f"{finding.text} {finding.advice}"

    finding = asyncio.run(main())
    assert {json.loads(body)["type"] for body in bodies} <= {"connector.checked"}
    return finding


def test_a_core_that_takes_the_right_signature_only_is_fine(tmp_path: Path) -> None:
    assert found(tmp_path, lambda is_right: 204 if is_right else 401)[0] is Verdict.OK


@pytest.mark.parametrize(
    ("take", "secret", "verdict", "text"),
    [
        (None, SECRET, Verdict.FAULT, "does not respond"),
        (lambda is_right: 200 if is_right else 401, OTHER_SECRET, Verdict.FAULT, "refuses the right signature"),
        (lambda _: 404, SECRET, Verdict.FAULT, "answers an event with HTTP 404"),
        (lambda _: 302, SECRET, Verdict.FAULT, "answers an event with HTTP 302"),
        (lambda _: 200, SECRET, Verdict.WARNING, "takes an event with a wrong signature"),
        (lambda _: 200, "whsec_short", Verdict.FAULT, "Make a secret"),
    ],
)
def test_doctor_names_the_fault_of_a_webhook(
    tmp_path: Path, take: Callable[[bool], int] | None, secret: str, verdict: Verdict, text: str
) -> None:
    kind, said = found(tmp_path, take, secret)
    assert (kind, text in said) == (verdict, True), said
