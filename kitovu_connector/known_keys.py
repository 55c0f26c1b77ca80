"""The public keys of the hub and of other DFSPs. The keys come from files (`jws_keys`), and with `fetch_keys` also from
the hub.

The hub publishes a key before a participant uses it for the first time, and does not publish revoked keys. The
connector stores fetched keys in its state directory. So it can also verify messages if it starts while the hub is down.
"""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path

import msgspec
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from fspiop import jws
from fspiop import time as fsptime
from kitovu_connector import key_files
from kitovu_connector.background import Background
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config
from kitovu_connector.hub_api import HubApi, HubRefused, HubUnreachable, SigningKey

log = structlog.get_logger(__name__)

_AT_MOST_EVERY_S = 5.0  # so that many messages with unknown keys cause only a few requests to the hub


@dataclass(frozen=True, slots=True)
class _Fetched:
    key: RSAPublicKey
    valid_from: float
    valid_until: float


class KnownKeys:
    """The public keys of each sender. If the hub publishes other keys, the connector uses the new keys without a
    restart.
    """

    def __init__(self, config: Config, hub: HubClient) -> None:
        self._config, self._api = config, HubApi(hub)
        self._files = key_files.public_keys(config)
        self._fetched: dict[str, list[_Fetched]] = {}
        self._tag, self._fetched_at = "", -_AT_MOST_EVERY_S
        self._fetching = asyncio.Lock()
        self._background = Background()
        # The connector has a state directory only if it has a single instance. Without a state directory, the connector
        # starts with the keys that it fetches.
        self._kept = config.state / "signing-keys.json" if isinstance(config.state, Path) else None

    async def start(self) -> None:
        """Reads the keys that the connector's last run stored, and then fetches keys at regular intervals.

        Does nothing without `fetch_keys`.
        """
        if not self._config.fetch_keys:
            return
        self._read_kept()
        await self.fetch()
        self._background.start(self._fetch_now_and_then())

    async def close(self) -> None:
        """Stops fetching."""
        await self._background.close()

    def of(self, sender: str) -> list[RSAPublicKey]:
        """Returns the sender's keys that are valid now. Because of the clock margin, a key becomes valid a little
        earlier than the hub states, and stays valid a little longer.
        """
        now, margin = time.time(), self._config.clock_margin_s
        fetched = [
            found.key
            for found in self._fetched.get(sender, ())
            if found.valid_from - margin <= now < found.valid_until + margin
        ]
        return [*self._files.get(sender, ()), *fetched]

    async def fetch(self) -> bool:
        """Fetches the keys, unless the previous fetch was only a moment ago. Returns whether the keys have changed."""
        if not self._config.fetch_keys:
            return False
        async with self._fetching:
            if time.monotonic() - self._fetched_at < _AT_MOST_EVERY_S:
                return False
            self._fetched_at = time.monotonic()
            try:
                found = await self._api.signing_keys(self._tag)
            except (HubUnreachable, HubRefused) as error:
                log.warning("signing_keys_not_fetched", why=str(error))
                return False
            if found is None:
                return False
            listed, self._tag = found
            self._take(listed)
            self._keep(listed)
            return True

    async def _fetch_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(self._config.keys_refresh_s)
            await self.fetch()

    def _take(self, listed: list[SigningKey]) -> None:
        fetched: dict[str, list[_Fetched]] = {}
        for each in listed:
            try:
                key = jws.load_public_key(each.key.encode())
                begins = fsptime.parse_datetime(each.valid_from).timestamp() if each.valid_from else 0.0
                ends = fsptime.parse_datetime(each.valid_until).timestamp() if each.valid_until else float("inf")
            except ValueError as error:  # a faulty key of one DFSP must not prevent the use of other keys
                log.error("signing_key_cannot_be_read", sender=each.participant, why=str(error))
                continue
            fetched.setdefault(each.participant, []).append(_Fetched(key, begins, ends))
        self._fetched = fetched
        log.info("signing_keys_fetched", senders=len(fetched))

    def _keep(self, listed: list[SigningKey]) -> None:
        if self._kept is None:
            return
        new = self._kept.with_suffix(".new")
        try:
            new.write_bytes(msgspec.json.encode(listed))
            os.replace(new, self._kept)
        except OSError as error:
            log.error("signing_keys_not_kept", why=error.strerror)

    def _read_kept(self) -> None:
        if self._kept is None:
            return
        try:
            self._take(msgspec.json.decode(self._kept.read_bytes(), type=list[SigningKey]))
        except FileNotFoundError:
            return
        except (OSError, msgspec.MsgspecError) as error:
            log.error("signing_keys_not_read", why=str(error))
