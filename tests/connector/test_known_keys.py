"""Keys that the hub hands out, and files that change: used without a restart, and never replaced by something worse."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from fspiop import jws
from kitovu_connector import known_keys
from kitovu_connector.changed_files import ChangedFiles
from kitovu_connector.client import HubClient
from kitovu_connector.config import ConfigError
from tests import proofs
from tests.connector.hub_stub import PAYEE, Scheme, _alias, config_of, error, scheme
from tests.proofs import key_of, private_pem

FETCHING: dict[str, Any] = {"verify_jws": True, "fetch_keys": True}


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "_AT_MOST_EVERY_S", 0.0)


def tell(folder: Path, story: Callable[[Scheme], Awaitable[None]], **more: Any) -> None:
    async def whole() -> None:
        async with scheme(folder, "nothing", **(FETCHING | more)) as world:
            await story(world)

    asyncio.run(whole())


async def says(world: Scheme, signer: str, source: str = "blue") -> int:
    """The status of a message of this source that has no consequence, signed with this key."""
    body = {"party": {"partyIdInfo": _alias() | {"fspId": source}}}
    return await world.send("PUT", f"/parties/MSISDN/{PAYEE}", body, source=source, signer=signer, shows="hub")


def test_a_new_key_counts_at_once_beside_the_old_one_and_a_revoked_one_no_more(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        assert await says(world, "blue") == 200
        assert await says(world, "blue next") == 400
        world.handed_out["blue"] = ["blue", "blue next"]
        assert await says(world, "blue next") == 200
        assert await says(world, "blue") == 200
        assert await says(world, "red") == 400  # another DFSP's key is not blue's
        world.handed_out["blue"] = ["blue next"]
        await world.connector._keys.fetch()
        assert await says(world, "blue") == 400

    tell(tmp_path, story)


def test_a_dfsp_that_joins_later_is_known_without_a_restart(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        assert await says(world, "green2", source="green2") == 400
        world.handed_out["green2"] = ["green2"]
        assert await says(world, "green2", source="green2") == 200

    tell(tmp_path, story)


def test_a_connector_that_starts_while_the_hub_is_away_has_the_keys_of_the_last_run(tmp_path: Path) -> None:
    async def story(world: Scheme) -> None:
        await world.stop()
        world.refuses["GET /dfsp"] = (503, "2003")
        await world.start()
        assert await says(world, "blue") == 200
        assert await world.hub_says("PUT", f"/participants/MSISDN/{PAYEE}/error", error("3204")) == 200

    tell(tmp_path, story)


def test_without_fetch_keys_nothing_is_fetched(tmp_path: Path) -> None:
    async def whole() -> None:
        async with scheme(tmp_path, "signatures") as world:
            assert await says(world, "blue next") == 400
            assert world.count("GET", "/dfsp") == 0

    asyncio.run(whole())


def test_keys_are_fetched_over_https_only(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="fetch_keys needs a hub_url with https"):
        config_of(tmp_path, "nothing", hub_url="http://hub.example", **FETCHING)
    assert config_of(tmp_path, "nothing", hub_url="https://hub.example", **FETCHING).fetch_keys


# --- files ------------------------------------------------------------------------------------------------------------


def test_a_changed_signing_key_is_used_and_a_faulty_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "jws.key"
    file.write_text(private_pem(key_of("green")))
    client = HubClient(config_of(tmp_path, "nothing", signing_key=str(file)))
    files = ChangedFiles()
    files.watch([str(file), ""], client.use_files)

    def signs_with(name: str) -> bool:
        text = client._sign(b"{}", "POST", "/quotes", None, "Sun, 29 Nov 2026 08:00:00 GMT")
        headers = {"fspiop-source": "green", "date": "Sun, 29 Nov 2026 08:00:00 GMT"}
        try:
            keys = [key_of(name).public_key()]
            jws.verify(text, b"{}", keys=keys, method="POST", uri="/quotes", headers=headers)
        except Exception:
            return False
        return True

    def replace(text: str) -> None:
        new = file.with_suffix(".new")
        new.write_text(text)
        os.replace(new, file)
        files.look()

    assert signs_with("green")
    replace("half of a k")
    assert signs_with("green")
    replace(private_pem(key_of("green next")))
    assert signs_with("green next")
    file.unlink()
    files.look()
    assert signs_with("green next")


def test_a_certificate_without_its_key_leaves_the_old_pair_in_use(tmp_path: Path) -> None:
    authority = proofs.Authority("scheme")
    certificate, key = tmp_path / "tls.pem", tmp_path / "tls.key"
    certificate.write_text(proofs.pem_of(authority.issue("green")))
    key.write_text(private_pem(key_of("green")))
    config = config_of(tmp_path, "nothing", client_cert=str(certificate), client_key=str(key))

    async def whole() -> None:
        async with HubClient(config) as client:
            used: list[bool] = []

            def use() -> None:
                used.append(False)
                client.use_files()
                used[-1] = True

            files = ChangedFiles()
            files.watch([str(certificate), str(key)], use)
            files.look()
            assert used == []
            certificate.write_text(proofs.pem_of(authority.issue("green", key=key_of("green next"))))
            files.look()
            assert used == [False]
            key.write_text(private_pem(key_of("green next")))
            files.look()
            assert used == [False, True]

    asyncio.run(whole())
