"""Everything a connector can be told: a TOML file, the environment (`CONNECTOR_*`) or flags, in rising precedence."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any


class ConfigError(ValueError):
    """A setting is missing, unknown or senseless."""


@dataclass(frozen=True, slots=True)
class Config:
    """One DFSP's connector. Lengths of time are in seconds."""

    dfsp: str  # our participant name at the hub (FSPIOP-Source of what we send)
    hub_url: str  # base URL of the hub's FSPIOP API
    state: Path  # directory of the durable state; one connector per directory
    ilp_secret: str  # key of the fulfilments (HMAC); at least 16 characters, never changed while quotes are open
    backend_url: str = ""  # base URL of the core; empty when a Backend object is given in process
    hub_id: str = "Hub"

    inbound_host: str = "127.0.0.1"  # where the hub calls us
    inbound_port: int = 0
    inbound_prefix: str = ""  # path of our endpoint at the hub when it is not the root ("/fspiop")
    inbound_is_private: bool = False  # nothing but the hub can reach that port, so callers prove nothing
    outbound_host: str = "127.0.0.1"  # where our core calls us
    outbound_port: int = 0

    version: str = "1.1"  # FSPIOP content version of what we send
    fulfil_state: str = "RESERVED"  # or COMMITTED: what PUT /transfers says (RESERVED needs version 1.1 or later)

    transfer_expiry_s: float = 30.0  # how long the payee has, from the moment we send the transfer
    quote_expiry_s: float = 60.0  # how long terms that we give as payee hold
    agree_s: float = 30.0  # lookup and quote together must end within this
    ask_again_s: float = 4.0  # first repetition of a lookup or quote without an answer
    callback_s: float = 10.0  # no outcome after this: ask the hub with GET /transfers
    clock_margin_s: float = 10.0  # clocks of hub and DFSP differ by less than this
    request_s: float = 8.0  # total deadline of one HTTP request, either way
    answer_s: float = 60.0  # how long POST /transfers of the outbound API waits for an end
    connections: int = 32  # to the hub, and to the backend

    signing_key: str = ""  # PEM file of our private key: what we send with a body is signed
    verify_jws: bool = False  # refuse unsigned or badly signed messages
    verify_put_parties: bool = True  # Mojaloop's SDK leaves PUT /parties unsigned by default
    jws_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # PEM files of public keys per sender

    hub_ca: str = ""  # PEM file: whom we trust as the hub's TLS server
    client_cert: str = ""  # PEM files of our TLS client certificate and its key
    client_key: str = ""
    hub_token_file: str = ""  # a bearer token for the hub, read again for each request so that it can be renewed
    token_url: str = ""  # or: where the hub gives tokens to this client ("https://hub.example/token")
    token_client: str = ""
    token_secret: str = ""
    token_secret_file: str = ""  # instead of token_secret, read at each renewal

    inbound_cert: str = ""  # PEM files: TLS for the hub's calls to us
    inbound_key: str = ""
    inbound_client_ca: str = ""  # a caller must present a client certificate of this authority
    inbound_client_name: str = ""  # of this name, the hub's; the authority certifies every DFSP

    def __post_init__(self) -> None:
        if not self.dfsp or not self.hub_url:
            raise ConfigError("dfsp and hub_url must be given")
        if len(self.ilp_secret) < 16:
            raise ConfigError("ilp_secret must have at least 16 characters")
        if self.fulfil_state not in ("RESERVED", "COMMITTED"):
            raise ConfigError("fulfil_state is RESERVED or COMMITTED")
        if self.version not in ("1.0", "1.1", "2.0"):
            raise ConfigError("version is 1.0, 1.1 or 2.0")
        if self.fulfil_state == "RESERVED" and self.version == "1.0":
            # A hub drops RESERVED of version 1.0 without a word and the transfer times out.
            raise ConfigError("fulfil_state RESERVED needs version 1.1 or later")
        if self.verify_jws and not self.jws_keys.get(self.hub_id):
            raise ConfigError(f"verify_jws needs jws_keys, with a key of {self.hub_id}")
        if self.token_url and not (self.token_client and (self.token_secret or self.token_secret_file)):
            raise ConfigError("token_url needs token_client and token_secret or token_secret_file")
        if self.inbound_client_ca and not self.inbound_cert:
            raise ConfigError("inbound_client_ca needs inbound_cert")
        if bool(self.inbound_client_ca) != bool(self.inbound_client_name):
            # A scheme's authority certifies every DFSP: without the name, any of them could pose as the hub.
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
        """Whether only connections of the hub's are accepted."""
        return bool(self.inbound_client_name)

    @property
    def ilp_key(self) -> bytes:
        """The secret as the bytes that fspiop.ilp wants."""
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
    """The same connector on the ports that the system gave it (0 asks for any free one)."""
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
