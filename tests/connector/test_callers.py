"""The servers for the core take requests of the core only: not of web pages, and with a token of those that have it."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hub.local.net import free_port
from kitovu_connector.config import Config, ConfigError
from kitovu_connector.core_requests import CoreRequests, RequestRefused
from kitovu_connector.doctor import Finding, Verdict, examine
from tests.connector.hub_stub import Scheme, scheme

OLD, NEW = "a" * 32, "b" * 40


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], **more: Any) -> None:
    async def run() -> None:
        ports = {"reference_api": True, "reference_port": free_port()}
        async with scheme(folder, "nothing", **(ports | more)) as world:
            await story(world)

    asyncio.run(run())


async def status(port: int, path: str, method: str = "GET", **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://127.0.0.1:{port}{path}", headers=headers, data=b"{}") as answer,
    ):
        await answer.read()
        return answer.status


def test_a_web_page_calls_nothing(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        outside, front = world.config.outbound_port, world.config.reference_port
        for port, path in ((outside, "/payments"), (front, "/transfers")):
            for origin in ("https://shop.example", f"http://127.0.0.1:{port}", "null"):
                # A form of a page needs no permission for this content type.
                headers = {"Origin": origin, "Content-Type": "text/plain"}
                assert await status(port, path, "POST", **headers) == 403
            assert await status(port, path, "POST") == 400
        assert await status(outside, "/payments", Origin="https://shop.example") == 403

    tell(tmp_path, story)


def test_with_a_token_only_the_core_calls_and_the_token_is_replaced_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "core.token"
    file.write_text(OLD)

    async def story(world: Scheme) -> None:
        outside, front = world.config.outbound_port, world.config.reference_port
        for port, path in ((outside, "/payments"), (outside, "/metrics"), (outside, "/openapi.json"), (front, "/x")):
            for wrong in ("", "Bearer", f"Bearer {NEW}", f"Basic {OLD}", OLD, f"Bearer {OLD}x", "Bearer \xe9"):
                assert await status(port, path, Authorization=wrong) == 401, (path, wrong)
            assert await status(port, path, Authorization=f"Bearer {OLD}") in (200, 404)
        for port, path in ((outside, "/health"), (outside, "/health/live"), (front, "/")):
            assert await status(port, path) == 200
        file.write_text(f"{NEW}\n{OLD}\n")
        world.connector._files.look()
        for token in (NEW, OLD):
            assert await status(outside, "/payments", Authorization=f"Bearer {token}") == 200
        async with CoreRequests(world.config) as core:  # the command line
            assert [found async for found in core.payments()] == []
        file.write_text(NEW)
        world.connector._files.look()
        assert await status(outside, "/payments", Authorization=f"Bearer {OLD}") == 401
        other = tmp_path / "other.token"
        other.write_text("c" * 32)
        async with CoreRequests(replace(world.config, outbound_token_file=str(other))) as core:
            with pytest.raises(RequestRefused, match="token"):
                await core.party("MSISDN/1")

    tell(tmp_path, story, outbound_token_file=str(file))


def test_a_faulty_file_of_tokens_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "core.token"
    for text in ("", "short", f"{OLD}\nshort", "é" * 40):
        file.write_text(text)
        with pytest.raises(ConfigError, match="must have a token of 32 characters or more"):
            tell(tmp_path, lambda _: asyncio.sleep(0), outbound_token_file=str(file))


def test_doctor_names_a_port_of_the_core_that_others_can_reach(tmp_path: Path) -> None:
    (tmp_path / "core.token").write_text(OLD)
    config = Config(
        dfsp="green",
        hub_url="http://127.0.0.1:9",
        state=tmp_path,
        ilp_secret="s" * 16,
        backend_url="http://127.0.0.1:9",
        inbound_port=1,
        outbound_port=2,
        inbound_is_private=True,
        request_s=0.5,
    )

    async def found(config: Config) -> dict[str, Finding]:
        return {each.check: each async for each in examine(config)}

    def calls(**more: Any) -> Verdict | None:
        finding = asyncio.run(found(replace(config, **more))).get("core's calls")
        return None if finding is None else finding.verdict

    assert calls() is None
    assert calls(outbound_host="0.0.0.0") is calls(outbound_host="core.internal") is Verdict.WARNING
    assert calls(reference_api=True, reference_host="::") is Verdict.WARNING
    assert calls(outbound_host="::1") is None
    assert calls(outbound_host="0.0.0.0", outbound_token_file=str(tmp_path / "core.token")) is Verdict.OK
    (tmp_path / "core.token").write_text("short")
    assert asyncio.run(found(replace(config, outbound_token_file=str(tmp_path / "core.token"))))["files"].verdict is (
        Verdict.FAULT
    )
