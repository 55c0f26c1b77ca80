"""All settings of a connector: from a TOML file, the environment (`CONNECTOR_*`) or flags, in rising precedence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A setting is missing, unknown or invalid."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one DFSP's connector. Durations are in seconds."""

    dfsp: str  # this DFSP's participant name at the hub (FSPIOP-Source of its requests)
    hub_url: str  # base URL of the hub's FSPIOP API
    state: Path  # the directory of the durable state; one connector per directory
    ilp_secret: str  # key of the fulfilments (HMAC); at least 16 characters, never changed while quotes are open
    backend_url: str = ""  # base URL of the core; empty when a Backend object is given in process
    hub_id: str = "Hub"

    inbound_host: str = "127.0.0.1"  # the address that the hub calls
    inbound_port: int = 0
    inbound_prefix: str = ""  # path of this DFSP's endpoint, if the hub has one other than the root ("/fspiop")
    inbound_is_private: bool = False  # only the hub can reach that port, so callers need no proof
    outbound_host: str = "127.0.0.1"  # the address that the core calls
    outbound_port: int = 0

    version: str = "1.1"  # FSPIOP content version of sent messages
    fulfil_state: str = "RESERVED"  # or COMMITTED: the state in PUT /transfers (RESERVED needs version 1.1 or later)

    transfer_expiry_s: float = 30.0  # how long the payee has after the transfer is sent
    quote_expiry_s: float = 60.0  # how long this DFSP's terms as payee are valid
    agree_s: float = 30.0  # lookup and quote together must end within this time
    ask_again_s: float = 4.0  # wait before the first repetition of an unanswered lookup or quote
    callback_s: float = 10.0  # without an outcome after this time: GET /transfers at the hub
    clock_margin_s: float = 10.0  # the clocks of hub and DFSP differ by less than this
    request_s: float = 8.0  # total deadline of one HTTP request, in either direction
    answer_s: float = 60.0  # how long POST /transfers of the outbound API waits for the outcome
    connections: int = 32  # largest number to the hub, and to the backend

    signing_key: str = ""  # PEM file of the private key that signs every sent body
    verify_jws: bool = False  # refuse messages without a valid signature
    verify_put_parties: bool = True  # Mojaloop's SDK leaves PUT /parties unsigned by default
    jws_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # PEM files of public keys per sender

    hub_ca: str = ""  # PEM file: the authorities trusted for the hub's TLS certificate
    client_cert: str = ""  # PEM files of this DFSP's TLS client certificate and its key
    client_key: str = ""
    hub_token_file: str = ""  # a bearer token for the hub; read for each request, so that it can be replaced
    token_url: str = ""  # or: the URL of the hub's token endpoint ("https://hub.example/token")
    token_client: str = ""
    token_secret: str = ""
    token_secret_file: str = ""  # instead of token_secret; read at each renewal

    inbound_cert: str = ""  # PEM files: TLS for the hub's requests to this connector
    inbound_key: str = ""
    inbound_client_ca: str = ""  # callers must present a client certificate of this authority
    inbound_client_name: str = ""  # the hub's name in it, because the authority certifies every DFSP

    def __post_init__(self) -> None:
        if not self.dfsp or not self.hub_url:
            raise ConfigError("dfsp and hub_url must be given")
        if len(self.ilp_secret) < 16:
            raise ConfigError("ilp_secret must have at least 16 characters")
        if self.fulfil_state not in ("RESERVED", "COMMITTED"):
            raise ConfigError("fulfil_state must be RESERVED or COMMITTED")
        if self.version not in ("1.0", "1.1", "2.0"):
            raise ConfigError("version must be 1.0, 1.1 or 2.0")
        if self.fulfil_state == "RESERVED" and self.version == "1.0":
            # A hub silently drops RESERVED of version 1.0, and the transfer expires.
            raise ConfigError("fulfil_state RESERVED needs version 1.1 or later")
        if self.verify_jws and not self.jws_keys.get(self.hub_id):
            raise ConfigError(f"verify_jws needs a key of {self.hub_id} in jws_keys")
        if self.token_url and not (self.token_client and (self.token_secret or self.token_secret_file)):
            raise ConfigError("token_url needs token_client and token_secret or token_secret_file")
        if self.inbound_client_ca and not self.inbound_cert:
            raise ConfigError("inbound_client_ca needs inbound_cert")
        if bool(self.inbound_client_ca) != bool(self.inbound_client_name):
            # A scheme's authority certifies every DFSP: without the name, any DFSP could pose as the hub.
            raise ConfigError("inbound_client_ca and inbound_client_name need each other")

    def check_callers_are_proven(self) -> None:
        """ConfigError if any caller of the inbound port could pose as the hub, unless the port is declared private."""
        if not (self.verify_jws or self.is_pinned or self.inbound_is_private):
            raise ConfigError(
                "nothing proves that a caller is the hub: set verify_jws and jws_keys, or inbound_client_ca and"
                " inbound_client_name, or inbound_is_private where nothing but the hub can reach inbound_port"
            )

    @property
    def is_pinned(self) -> bool:
        """Whether the connector accepts only connections from the hub."""
        return bool(self.inbound_client_name)

    @property
    def ilp_key(self) -> bytes:
        """The secret as bytes, for fspiop.ilp."""
        return self.ilp_secret.encode()


_FILES = (
    "state",
    "signing_key",
    "hub_ca",
    "client_cert",
    "client_key",
    "hub_token_file",
    "token_secret_file",
    "inbound_cert",
    "inbound_key",
    "inbound_client_ca",
)
_KINDS: dict[str, Any] = {f.name: f.type for f in fields(Config)}


def load(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, str | None]) -> Config:
    """Reads a Config; relative file names in a TOML file are relative to that file."""
    values: dict[str, Any] = {}
    base = Path.cwd()
    if path is not None:
        base = path.resolve().parent
        values.update(tomllib.loads(path.read_text("utf-8")))
    for name in _KINDS:
        text = environment.get(f"CONNECTOR_{name.upper()}")
        if text is not None:
            values[name] = _read(name, text)
    values.update({name: _read(name, text) for name, text in flags.items() if text is not None})
    unknown = set(values) - set(_KINDS)
    if unknown:
        raise ConfigError(f"unknown settings: {', '.join(sorted(unknown))}")
    missing = {"dfsp", "hub_url", "state", "ilp_secret"} - set(values)
    if missing:
        raise ConfigError(f"missing settings: {', '.join(sorted(missing))}")
    for name in _FILES:
        if values.get(name):
            values[name] = base / str(values[name]) if name == "state" else str(base / str(values[name]))
    values["jws_keys"] = {
        sender: tuple(str(base / file) for file in ([files] if isinstance(files, str) else files))
        for sender, files in values.get("jws_keys", {}).items()
    }
    return Config(**values)


def with_ports(config: Config, *, inbound: int, outbound: int) -> Config:
    """The same settings with the ports that the system assigned (port 0 means any free port)."""
    return replace(config, inbound_port=inbound, outbound_port=outbound)


def _read(name: str, text: str) -> Any:
    if name not in _KINDS:
        raise ConfigError(f"unknown setting: {name}")
    kind = _KINDS[name]
    if kind is bool:
        return text.strip().lower() in ("1", "true", "yes", "on")
    if name == "jws_keys":  # sender=file,sender=file
        return dict(pair.split("=", 1) for pair in text.split(",") if pair)
    return kind(text)
