"""The servers for the core take requests of the core only: not of web pages, and with a token of those that have it."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hub.local.net import free_port
from kitovu_connector import doctor
from kitovu_connector.config import Config, ConfigError
from kitovu_connector.doctor import Finding, Verdict, examine
from kitovu_connector.running_connector_client import CoreRequests, NotRunning
from tests import proofs
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
            with pytest.raises(NotRunning, match="token"):
                await core.party("MSISDN/1")

    tell(tmp_path, story, outbound_token_file=str(file))


def test_a_faulty_file_of_tokens_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "core.token"
    for text in ("", "short", f"{OLD}\nshort", "é" * 40):
        file.write_text(text)
        with pytest.raises(ConfigError, match="must have a token of 32 characters or more"):
            tell(tmp_path, lambda _: asyncio.sleep(0), outbound_token_file=str(file))


# --- TLS --------------------------------------------------------------------------------------------------------------


BANK = proofs.Authority("bank")


def files_of(folder: Path, name: str, authority: proofs.Authority = BANK, **more: Any) -> tuple[str, str]:
    """The files of a certificate and its key."""
    certificate, key = folder / f"{name}.pem", folder / f"{name}.key"
    certificate.write_text(proofs.pem_of(authority.issue(name, **more)))
    key.write_text(proofs.private_pem(proofs.key_of(name)))
    return str(certificate), str(key)


def server_files(folder: Path, **more: Any) -> dict[str, str]:
    certificate, key = files_of(folder, "connector", host="localhost", **more)
    return {"outbound_cert": certificate, "outbound_key": key}


def trusting_bank(*certificate: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=proofs.pem_of(BANK.certificate))
    if certificate:
        context.load_cert_chain(*certificate)
    return context


async def secure_status(port: int, path: str, *certificate: str, **headers: str) -> int:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"https://localhost:{port}{path}", headers=headers, ssl=trusting_bank(*certificate)) as answer,
    ):
        await answer.read()
        return answer.status


def test_with_tls_the_core_proves_itself_by_its_certificate(tmp_path: Path) -> None:
    (tmp_path / "bank.pem").write_text(proofs.pem_of(BANK.certificate))
    (tmp_path / "core.token").write_text(OLD)
    core, printer = files_of(tmp_path, "core"), files_of(tmp_path, "printer")
    stranger = files_of(tmp_path, "stranger", proofs.Authority("elsewhere"))
    settings = server_files(tmp_path) | {"outbound_client_ca": str(tmp_path / "bank.pem")}
    settings |= {"outbound_client_name": "core", "command_cert": core[0], "command_key": core[1]}

    async def story(world: Scheme) -> None:
        outside, front = world.config.outbound_port, world.config.reference_port
        for port, path in ((outside, "/payments"), (outside, "/metrics"), (front, "/x")):
            assert await secure_status(port, path) == 401
            assert await secure_status(port, path, *printer) == 403
            assert await secure_status(port, path, *core) in (200, 404)
            with pytest.raises((aiohttp.ClientError, OSError)):
                await secure_status(port, path, *stranger)
            with pytest.raises(aiohttp.ClientError):
                await status(port, path)
        for port, path in ((outside, "/health"), (outside, "/health/live"), (front, "/")):
            assert await secure_status(port, path) == 200
        async with CoreRequests(world.config) as command:
            assert [found async for found in command.payments()] == []
        async with CoreRequests(replace(world.config, command_cert="", command_key="")) as command:
            with pytest.raises(NotRunning, match="client certificate"):
                await command.party("MSISDN/1")
        (tmp_path / "other").mkdir()
        other = server_files(tmp_path / "other")
        async with CoreRequests(replace(world.config, **other)) as command:  # another server than the connector
            with pytest.raises(NotRunning, match="no secure connection"):
                await command.party("MSISDN/1")
        served = await asyncio.to_thread(ssl.get_server_certificate, ("localhost", outside))
        renewed = server_files(tmp_path)
        world.connector._files.look()
        now_served = await asyncio.to_thread(ssl.get_server_certificate, ("localhost", outside))
        assert (
            served
            != now_served
            == ssl.DER_cert_to_PEM_cert(ssl.PEM_cert_to_DER_cert(Path(renewed["outbound_cert"]).read_text()))
        )

    tell(tmp_path, story, **settings)


@pytest.mark.parametrize("written", [None, "", "-----BEGIN CERTIFICATE-----\nMIIB"], ids=["missing", "empty", "a part"])
def test_the_other_metrics_stay_while_the_file_of_a_certificate_is_replaced(
    tmp_path: Path, written: str | None
) -> None:
    ends = 'kitovu_connector_certificate_ends_timestamp_seconds{setting="outbound_cert"}'
    settings = server_files(tmp_path)
    file = Path(settings["outbound_cert"])

    async def story(world: Scheme) -> None:
        url = f"https://localhost:{world.config.outbound_port}/metrics"

        async def metrics() -> str:
            async with aiohttp.ClientSession() as session, session.get(url, ssl=trusting_bank()) as answer:
                assert answer.status == 200
                return await answer.text()

        whole = file.read_text()
        assert ends in await metrics()
        file.unlink()
        if written is not None:
            file.write_text(written)
        found = await metrics()
        assert "kitovu_connector_events_waiting 0.0" in found
        assert ends not in found
        file.write_text(whole)
        assert ends in await metrics()

    tell(tmp_path, story, **settings)


def test_a_core_with_a_certificate_needs_the_token_too_if_both_are_set(tmp_path: Path) -> None:
    (tmp_path / "bank.pem").write_text(proofs.pem_of(BANK.certificate))
    (tmp_path / "core.token").write_text(OLD)
    core = files_of(tmp_path, "core")
    settings = server_files(tmp_path) | {"outbound_client_ca": str(tmp_path / "bank.pem")}

    async def story(world: Scheme) -> None:
        port, token = world.config.outbound_port, {"Authorization": f"Bearer {OLD}"}
        assert await secure_status(port, "/payments", *core) == 401
        assert await secure_status(port, "/payments", **token) == 401
        assert await secure_status(port, "/payments", *core, **token) == 200

    tell(tmp_path, story, outbound_token_file=str(tmp_path / "core.token"), **settings)


def test_tls_for_the_core_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    server = server_files(tmp_path)
    other = files_of(tmp_path, "other")
    for wrong, text in (
        ({"outbound_key": server["outbound_key"]}, "outbound_key needs outbound_cert"),
        ({"outbound_client_ca": server["outbound_cert"]}, "outbound_client_ca needs outbound_cert"),
        (server | {"outbound_client_name": "core"}, "outbound_client_name needs outbound_client_ca"),
        ({"command_key": other[1]}, "command_key needs command_cert"),
        (server | {"outbound_key": other[1]}, "outbound_cert and outbound_key"),
        (server | {"outbound_client_ca": str(tmp_path / "nothing.pem")}, "outbound_client_ca: .* cannot be read"),
    ):
        with pytest.raises(ConfigError, match=text):
            tell(tmp_path, lambda _: asyncio.sleep(0), **wrong)


def test_doctor_names_a_certificate_for_the_core_that_has_ended_or_has_another_key(tmp_path: Path) -> None:
    def found(**more: Any) -> list[Finding]:
        given = Config(dfsp="green", hub_url="http://127.0.0.1:9", state=tmp_path, ilp_secret="s" * 16, **more)
        return [each for each in doctor._keys(given) if each.check == "certificate"]

    (right,) = found(**server_files(tmp_path))
    assert right.verdict is Verdict.OK
    (wrong,) = found(**server_files(tmp_path) | {"outbound_key": files_of(tmp_path, "other")[1]})
    assert (wrong.verdict, wrong.text.split(":")[0]) == (Verdict.FAULT, "outbound_cert and outbound_key")
    (ended,) = found(**server_files(tmp_path, days=(-9, -1)))
    assert ended.verdict is Verdict.FAULT
    assert ended.text.startswith("outbound_cert: ")


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
    with_token = {"outbound_host": "0.0.0.0", "outbound_token_file": str(tmp_path / "core.token")}
    assert calls(**with_token) is Verdict.WARNING  # the network can read it
    assert calls(**with_token, **server_files(tmp_path)) is Verdict.OK
    (tmp_path / "core.token").write_text("short")
    assert asyncio.run(found(replace(config, outbound_token_file=str(tmp_path / "core.token"))))["files"].verdict is (
        Verdict.FAULT
    )
