"""A connector starts with settings that do what they say, or says in one clear line each why it does not."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hub.local.net import free_port
from kitovu_connector.config import Config, ConfigError, load
from kitovu_connector.connector import Connector
from tests import proofs
from tests.connector.hub_stub import Core, config_of
from tests.proofs import key_of

GOOD = {
    "dfsp": '"green"',
    "hub_url": '"http://127.0.0.1:9"',
    "state": '"state"',
    "ilp_secret": '"a secret of sixteen"',
    "backend_url": '"http://127.0.0.1:9"',
    "inbound_is_private": "true",
}


def written(folder: Path, **changes: str) -> Path:
    """A TOML file with these settings."""
    file = folder / "connector.toml"
    file.write_text("".join(f"{name} = {value}\n" for name, value in (GOOD | changes).items()))
    return file


def fault_of(folder: Path, **changes: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load(written(folder, **changes), {}, {})
    return str(caught.value)


# --- types ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("inbound_port", '"4000"', "a whole number"),
        ("inbound_port", "70000", "65535"),
        ("inbound_port", "4000.5", "a whole number"),
        ("inbound_port", "true", "a whole number"),
        ("outbound_port", "-1", "65535"),
        ("verify_jws", '"false"', "true or false"),
        ("verify_put_parties", "0", "true or false"),
        ("transfer_expiry_s", '"30"', "a number"),
        ("transfer_expiry_s", "0", "above 0"),
        ("agree_s", "-1", "above 0"),
        ("request_s", "nan", "above 0"),
        ("callback_s", "inf", "above 0"),
        ("clock_margin_s", "-1", "above 0"),
        ("connections", "0", "1 or more"),
        ("connections", "1.5", "a whole number"),
        ("hub_url", '"hub.example"', "a URL"),
        ("hub_url", "5", "text"),
        ("hub_url", '""', "a URL"),
        ("backend_url", '"ftp://core"', "a URL"),
        ("dfsp", '""', "a participant's name"),
        ("dfsp", '"a/b"', "a participant's name"),
        ("version", '"3.0"', "one of 1.0, 1.1, 2.0"),
        ("version", "1.1", "text"),
        ("fulfil_state", '"ABORTED"', "one of RESERVED, COMMITTED"),
        ("log_level", '"LOUD"', "one of DEBUG"),
        ("inbound_prefix", '"fspiop"', "a path"),
        ("jws_keys", '"hub.pem"', "a table"),
        ("jws_keys", "{ Hub = 5 }", "a table"),
        ("jws_keys", "{ Hub = [] }", "a table"),
        ("state", "5", "a path"),
        ("quote_retention_s", "5", "longer than quote_expiry_s"),
        ("inbound_key", '"key.pem"', "inbound_cert"),
        ("inbund_port", "4000", "unknown settings: inbund_port"),
    ],
)
def test_a_setting_of_a_wrong_type_is_named_in_one_line(tmp_path: Path, name: str, value: str, says: str) -> None:
    text = fault_of(tmp_path, **{name: value})
    assert len(text.splitlines()) == 1
    assert name in text
    assert says in text


def test_each_wrong_setting_has_its_line(tmp_path: Path) -> None:
    lines = fault_of(tmp_path, inbound_port='"4000"', verify_jws='"no"', agree_s='"30"').splitlines()
    assert [line.split()[0] for line in lines] == ["inbound_port", "agree_s", "verify_jws"]


def test_a_secret_of_a_wrong_type_is_not_shown(tmp_path: Path) -> None:
    assert "123456" not in fault_of(tmp_path, ilp_secret="1234567890123456")


@pytest.mark.parametrize(
    ("name", "text"), [("INBOUND_PORT", "x"), ("VERIFY_JWS", "maybe"), ("AGREE_S", ""), ("JWS_KEYS", "hub.pem")]
)
def test_the_environment_is_read_as_strictly(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ConfigError, match=name.lower()):
        load(written(tmp_path), {f"CONNECTOR_{name}": text}, {})


def test_the_environment_and_flags_are_read(tmp_path: Path) -> None:
    environment = {
        "CONNECTOR_VERIFY_JWS": "yes",
        "CONNECTOR_JWS_KEYS": "Hub=a.pem,Hub=b.pem,blue=c.pem",
        "CONNECTOR_REQUEST_S": "3",
    }
    config = load(written(tmp_path), environment, {"inbound_port": "4000"})
    assert (config.verify_jws, config.request_s, config.inbound_port) == (True, 3.0, 4000)
    assert config.jws_keys == {
        "Hub": (str(tmp_path / "a.pem"), str(tmp_path / "b.pem")),
        "blue": (str(tmp_path / "c.pem"),),
    }


def test_the_stops_of_mojaloops_sdk_have_its_names_in_the_environment(tmp_path: Path) -> None:
    names = {"AUTO_ACCEPT_PARTY": "false", "AUTO_ACCEPT_QUOTES": "false", "CONNECTOR_AUTO_ACCEPT_QUOTES": "true"}
    config = load(written(tmp_path), names | {"REFERENCE_API": "true"}, {})
    assert (config.auto_accept_party, config.auto_accept_quotes, config.reference_api) == (False, True, False)
    with pytest.raises(ConfigError, match="true or false"):
        load(written(tmp_path), {"AUTO_ACCEPT_R2P_PARTY": "perhaps"}, {})


def test_secrets_have_no_repr(tmp_path: Path) -> None:
    config = config_of(
        tmp_path, "nothing", ilp_secret="SECRET" * 4, token_url="http://h/t", token_client="c", token_secret="SECRET"
    )
    assert "SECRET" not in repr(config)
    assert config.ilp_key == b"SECRET" * 4


# --- the command ------------------------------------------------------------------------------------------------------


def run(file: Path, *flags: str) -> tuple[int, str]:
    """The exit status and the error output of a connector that does not start."""
    command = [sys.executable, "-m", "kitovu_connector", "--config", str(file), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=os.environ)
    return done.returncode, done.stderr


def lines_of(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("The connector cannot start: ")]


def test_a_busy_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as busy:
        port = busy.getsockname()[1]
        status, said = run(written(tmp_path, inbound_port=str(port)))
    assert status == 2
    assert "Traceback" not in said
    (line,) = lines_of(said)
    assert f"127.0.0.1:{port}" in line
    assert "another program uses it" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"signing_key": '"nowhere.pem"'},
        {"hub_ca": '"nowhere.pem"'},
        {"client_cert": '"nowhere.pem"'},
        {"hub_token_file": '"nowhere.pem"'},
        {"inbound_cert": '"nowhere.pem"'},
        {"verify_jws": "true", "jws_keys": '{ Hub = "nowhere.pem" }'},
    ],
)
def test_a_missing_file_is_one_clear_line(tmp_path: Path, changes: dict[str, str]) -> None:
    status, said = run(written(tmp_path, **changes))
    assert status == 2
    assert "Traceback" not in said
    (line,) = lines_of(said)
    assert list(changes)[-1] in line
    assert "nowhere.pem cannot be read: No such file or directory" in line


@pytest.mark.parametrize("name", ["signing_key", "hub_ca", "client_cert", "inbound_cert"])
def test_a_file_that_is_no_key_is_one_clear_line(tmp_path: Path, name: str) -> None:
    (tmp_path / "wrong.pem").write_text("-----BEGIN NOTHING-----\n")
    status, said = run(written(tmp_path, **{name: '"wrong.pem"'}))
    assert status == 2
    assert "Traceback" not in said
    (line,) = lines_of(said)
    assert name in line


def test_wrong_settings_are_a_line_each(tmp_path: Path) -> None:
    status, said = run(written(tmp_path, inbound_port='"4000"', agree_s='"x"'))
    assert (status, len(lines_of(said))) == (2, 2)
    (tmp_path / "connector.toml").write_text("dfsp = green")
    assert (run(tmp_path / "connector.toml")[0], run(tmp_path / "nowhere.toml")[0]) == (2, 2)


# --- the state --------------------------------------------------------------------------------------------------------


def test_two_connectors_on_one_state_refuse_to_start(tmp_path: Path) -> None:
    file = written(tmp_path)

    async def main() -> None:
        async with Connector(load(file, {}, {}), Core()):
            status, said = await asyncio.to_thread(run, file)
            assert status == 2
            (line,) = lines_of(said)
            assert f"another connector uses {tmp_path / 'state'}" in line
        async with Connector(load(file, {}, {}), Core()):
            pass  # it was released

    asyncio.run(main())


def test_a_connector_that_cannot_start_leaves_nothing_open(tmp_path: Path) -> None:
    config = config_of(tmp_path, "nothing")

    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as busy:
            from dataclasses import replace

            wrong = replace(config, outbound_port=busy.getsockname()[1])
            with pytest.raises(RuntimeError, match="another program uses it"):
                await Connector(wrong, Core()).__aenter__()
        async with Connector(config, Core()):
            pass

    asyncio.run(main())


# --- settings that do what they say -----------------------------------------------------------------------------------


def test_the_core_is_called_with_the_settings_of_the_connector(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from kitovu_connector import configured_core
    from kitovu_connector.commands import serving as command

    made: list[dict[str, Any]] = []

    class Made(configured_core.HttpBackend):
        def __init__(self, url: str, **settings: Any) -> None:
            made.append(settings)
            super().__init__(url, **settings)

    class Nothing:
        def __init__(self, *_: Any) -> None: ...

        async def __aenter__(self) -> None:
            os.kill(os.getpid(), 15)

        async def __aexit__(self, *_: Any) -> None: ...

    monkeypatch.setattr(configured_core, "HttpBackend", Made)
    monkeypatch.setattr(command, "Connector", Nothing)
    asyncio.run(command._run(load(written(tmp_path, request_s="3.0", connections="5"), {}, {})))
    assert made == [{"timeout_s": 3.0, "connections": 5}]


def test_a_body_that_does_not_come_ends_after_request_s(tmp_path: Path) -> None:
    config = config_of(tmp_path, "nothing", request_s=0.3, inbound_host="127.0.0.1")

    async def main() -> None:
        async with Connector(config, Core()):
            reader, writer = await asyncio.open_connection("127.0.0.1", config.inbound_port)
            writer.write(b"POST /quotes HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
            answer = await asyncio.wait_for(reader.readuntil(b"\r\n"), 3)
            assert b" 408 " in answer
            writer.close()

    asyncio.run(main())


def test_the_inbound_host_is_where_the_connector_listens(tmp_path: Path) -> None:
    config = config_of(tmp_path, "nothing", inbound_host="0.0.0.0")

    async def main() -> None:
        async with Connector(config, Core()), aiohttp.ClientSession() as session:
            for host in ("127.0.0.1", "127.0.0.2"):
                async with session.get(f"http://{host}:{config.inbound_port}/health") as answer:
                    assert answer.status == 200
                with pytest.raises(aiohttp.ClientError) if host == "127.0.0.2" else _nothing():
                    async with session.get(f"http://{host}:{config.outbound_port}/health/live") as answer:
                        assert answer.status == 200

    asyncio.run(main())


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def test_a_config_made_in_process_is_checked_as_well(tmp_path: Path) -> None:
    make: Callable[..., Config] = lambda **more: config_of(tmp_path, "nothing", **more)  # noqa: E731
    for more in ({"inbound_port": "4000"}, {"request_s": "8"}, {"state": "x"}):
        with pytest.raises(ConfigError):
            make(**more)


# --- keys with a password ---------------------------------------------------------------------------------------------


def test_a_key_with_a_password_is_refused_and_no_password_is_asked_for(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat

    authority = proofs.Authority("scheme")
    (tmp_path / "server.pem").write_text(proofs.pem_of(authority.issue("localhost", host="localhost")))
    sealed = key_of("localhost").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))
    (tmp_path / "server.key").write_bytes(sealed)
    file = written(tmp_path, inbound_cert='"server.pem"', inbound_key='"server.key"', inbound_port=str(free_port()))
    status, said = run(file)
    assert status == 2
    (line,) = lines_of(said)
    assert "without a password" in line
