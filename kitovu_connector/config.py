"""All settings of a connector: from a TOML file, the environment (`CONNECTOR_*`) or flags.

The environment overrides the file. Flags override the file and the environment.
"""

import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kitovu_connector.errors import NothingBegun


class ConfigError(NothingBegun, ValueError):
    """The error for missing, unknown or invalid settings. The text has one line for each faulty setting."""


class StartError(NothingBegun, RuntimeError):
    """The error for a port or a state folder that cannot be used. The text of the error has one line."""


@dataclass(frozen=True, slots=True)
class Config:
    """The settings of one DFSP's connector. Durations are in seconds."""

    dfsp: str  # this DFSP's name at the hub, and the FSPIOP-Source of its requests
    hub_url: str  # base URL of the hub's FSPIOP API
    # The folder of the connector's state, or, for several instances, a URL such as postgresql://...
    state: Path | str = field(repr=False)  # the value may be a URL with a password
    ilp_secret: str = field(
        repr=False
    )  # the HMAC key of the fulfilments, 16 characters or more; do not change the key while any quote is open
    backend_url: str = ""  # base URL of the core; empty if a Python program passes a Backend object to the connector
    backend_api: str = "kitovu"  # "kitovu", or "reference" if the core has the backend API of Mojaloop's SDK
    hub_id: str = "Hub"

    inbound_host: str = "127.0.0.1"  # this machine's address for the hub's requests ("0.0.0.0": all addresses)
    inbound_port: int = 0
    inbound_prefix: str = ""  # the path of this DFSP's endpoint, such as "/fspiop", or empty for the root
    inbound_is_private: bool = False  # true if only the hub can reach inbound_port; callers then need no proof
    outbound_host: str = "127.0.0.1"  # this machine's address for the core's requests
    outbound_port: int = 0
    # a file with one token per line; the core must send one of them as `Authorization: Bearer ...`
    outbound_token_file: str = ""
    outbound_cert: str = ""  # PEM files for TLS on outbound_port and on reference_port
    outbound_key: str = ""
    # PEM file: the certificate authority that must have signed the core's client certificate
    outbound_client_ca: str = ""
    # the name in the core's client certificate; if this setting is empty, the connector accepts any name
    outbound_client_name: str = ""
    command_cert: str = ""  # PEM files: the client certificate that the command line presents on outbound_port
    command_key: str = ""
    webhook_url: str = ""  # the core's URL for events: the end of a payment, transfer, request, bulk or conversion
    webhook_secret: str = field(default="", repr=False)  # the key that signs the webhooks: whsec_ and base64
    webhook_secret_file: str = ""  # instead of webhook_secret
    # the connector stops sending an event, or the report of a bulk or of a request to pay, if the core has not accepted
    # it within this time
    webhook_give_up_s: float = 604_800.0

    reference_api: bool = False  # also serve the outbound API of Mojaloop's SDK
    reference_host: str = "127.0.0.1"  # this machine's address for requests to the reference API
    reference_port: int = 0
    # also serve the test API of Mojaloop's SDK on outbound_host: it shows messages with customers' data, so it is only
    # for tests
    test_api: bool = False
    test_port: int = 0
    # Mojaloop's SDK has the same defaults. POST /transfers does not wait until the front end accepts the payee.
    auto_accept_party: bool = True
    auto_accept_quotes: bool = True  # POST /transfers does not wait for an acceptance of the terms
    auto_accept_conversion: bool = False  # POST /transfers waits for an acceptance of the conversion
    auto_accept_r2p_party: bool = True  # POST /requestToPay does not wait for an acceptance of the payer
    # if a business initiated the request, POST /requestToPayTransfer waits for an acceptance of the terms
    auto_accept_r2p_business_quotes: bool = False
    # if a device initiated the request, POST /requestToPayTransfer does not wait for an acceptance of the terms
    auto_accept_r2p_device_quotes: bool = True
    auto_accept_r2p_device_otp: bool = False  # POST /requestToPayTransfer waits for an acceptance of the password

    version: str = "1.1"  # the FSPIOP version of the messages that the connector sends
    message_form: str = "plain"  # "plain" or "iso20022": the form of parties, quotes, transfers and conversions
    fulfil_state: str = "RESERVED"  # the state in PUT /transfers: COMMITTED, or RESERVED (needs version 1.1 or later)

    transfer_expiry_s: float = 30.0  # the time that the payee DFSP has for its answer to a transfer
    quote_expiry_s: float = 60.0  # the validity of the terms that this DFSP gives as payee DFSP
    # the connector deletes terms, and received bulks that have ended, this long after their last change. It keeps
    # terms that a transfer needs
    quote_retention_s: float = 86_400.0
    # limit for each DFSP: the total octets of its stored bulks, requests for the terms of bulks and conversions, and
    # requests to pay
    stored_terms_bytes: int = 536_870_912
    # limit for each DFSP: the total octets of its stored requests for the terms of single payments
    stored_quotes_bytes: int = 8_589_934_592
    # the connector deletes an answered request to pay this long after the request's last change
    request_retention_s: float = 2_592_000.0
    # the time that the core has to confirm a payee or a password; the core can confirm terms until they expire
    confirm_s: float = 3600.0
    agree_s: float = 30.0  # the lookup and the quote of a payment must together end within this time
    ask_again_s: float = 4.0  # the time until the connector repeats an unanswered lookup or quote
    password_s: float = 120.0  # the time in which a payer can enter a one-time password at the payee's device
    callback_s: float = 10.0  # after this time without an outcome, the connector sends GET /transfers to the hub
    clock_margin_s: float = 10.0  # the largest permitted difference between the hub's clock and a DFSP's clock
    request_s: float = (
        8.0  # the time limit for one HTTP request to the hub or the core, and for receiving one request from the hub
    )
    answer_s: float = 60.0  # how long POST /payments of the outbound API waits for the outcome
    # Three separate limits have this value: connections to the hub, connections to the core, and open lookups of
    # customers.
    connections: int = 32
    log_level: str = "INFO"  # or DEBUG, WARNING, ERROR

    signing_key: str = ""  # PEM file of the private key that signs every sent body
    verify_jws: bool = False  # whether the connector refuses messages without a valid signature
    verify_put_parties: bool = True  # Mojaloop's SDK leaves PUT /parties unsigned by default
    # for each sender, the PEM files with the sender's public keys
    jws_keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    # whether the connector fetches all public keys from the hub: the hub's keys and the DFSPs' keys
    fetch_keys: bool = False
    keys_refresh_s: float = 60.0  # how often the connector fetches the public keys

    hub_ca: str = ""  # PEM file: the certificate authorities that the connector trusts for the hub's TLS certificate
    client_cert: str = ""  # PEM files of this DFSP's TLS client certificate and its key
    client_key: str = ""
    hub_token_file: str = ""  # a file with the bearer token for the hub; each request reads the file again
    token_url: str = ""  # instead of the file: the URL of the hub's token endpoint ("https://hub.example/token")
    token_client: str = ""
    token_secret: str = field(default="", repr=False)
    token_secret_file: str = ""  # instead of token_secret: a file with the secret; each renewal reads the file

    inbound_cert: str = ""  # PEM files for TLS on inbound_port
    inbound_key: str = ""
    # PEM file: the certificate authority that must have signed the hub's client certificate
    inbound_client_ca: str = ""
    # the name in the hub's certificate; if this setting is empty, a DFSP with a certificate from the same authority
    # could pose as the hub
    inbound_client_name: str = ""

    def __post_init__(self) -> None:
        faults = [*_type_faults(self)] or [*self._faults()]
        if faults:
            raise ConfigError("\n".join(faults))

    def _faults(self) -> Iterator[str]:
        yield from _form_faults(self)
        if len(self.ilp_secret) < 16:
            yield "ilp_secret must have at least 16 characters"
        if self.fulfil_state == "RESERVED" and self.version == "1.0":
            # A hub silently ignores the state RESERVED in a message of version 1.0. The transfer then expires.
            yield "fulfil_state RESERVED needs version 1.1 or later"
        if self.verify_jws and not (self.jws_keys.get(self.hub_id) or self.fetch_keys):
            yield f"verify_jws needs a key of {self.hub_id} in jws_keys, or fetch_keys"
        if self.fetch_keys and not _is_safe(self.hub_url):
            # Over plain HTTP, anybody on the network path could replace the keys by false keys. This person could then
            # pose as the hub or as a DFSP.
            yield "fetch_keys needs a hub_url with https"
        if self.token_url and not (self.token_client and (self.token_secret or self.token_secret_file)):
            yield "token_url needs token_client and token_secret or token_secret_file"
        if self.webhook_url and not (self.webhook_secret or self.webhook_secret_file):
            yield "webhook_url needs webhook_secret or webhook_secret_file"
        if self.client_key and not self.client_cert:
            yield "client_key needs client_cert"
        if self.inbound_key and not self.inbound_cert:
            yield "inbound_key needs inbound_cert"
        if self.inbound_client_ca and not self.inbound_cert:
            yield "inbound_client_ca needs inbound_cert"
        if self.outbound_key and not self.outbound_cert:
            yield "outbound_key needs outbound_cert"
        if self.outbound_client_ca and not self.outbound_cert:
            yield "outbound_client_ca needs outbound_cert"
        if self.outbound_client_name and not self.outbound_client_ca:
            yield "outbound_client_name needs outbound_client_ca"
        if self.command_key and not self.command_cert:
            yield "command_key needs command_cert"
        if bool(self.inbound_client_ca) != bool(self.inbound_client_name):
            # A scheme's certificate authority certifies every DFSP. If the connector did not check the name in a
            # certificate, any DFSP could pose as the hub.
            yield "set inbound_client_ca and inbound_client_name only together"
        if self.quote_retention_s < self.quote_expiry_s + self.clock_margin_s:
            yield "quote_retention_s must be longer than quote_expiry_s and clock_margin_s together"

    def check_callers_are_proven(self) -> None:
        """Raises ConfigError if a caller of the inbound port could pose as the hub.

        With inbound_is_private, only the hub can reach the inbound port, so a caller does not have to prove that it is
        the hub.
        """
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
    def is_iso20022(self) -> bool:
        """Whether the connector uses the form of ISO 20022 for the messages that it can send in two forms."""
        return self.message_form == "iso20022"

    @property
    def ilp_key(self) -> bytes:
        """The bytes of `ilp_secret`, as the module fspiop.ilp needs them."""
        return self.ilp_secret.encode()


FILES = (
    "signing_key",
    "hub_ca",
    "client_cert",
    "client_key",
    "hub_token_file",
    "token_secret_file",
    "webhook_secret_file",
    "outbound_token_file",
    "inbound_cert",
    "inbound_key",
    "inbound_client_ca",
    "outbound_cert",
    "outbound_key",
    "outbound_client_ca",
    "command_cert",
    "command_key",
)
"""The settings that contain the name of a file. `jws_keys` names further files."""

_KINDS: dict[str, Any] = {f.name: f.type for f in fields(Config)}
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
_URLS = ("postgresql://", "postgres://")
_CHOICES = {
    "fulfil_state": ("RESERVED", "COMMITTED"),
    "version": ("1.0", "1.1", "2.0"),
    "message_form": ("plain", "iso20022"),
    "backend_api": ("kitovu", "reference"),
    "log_level": ("DEBUG", "INFO", "WARNING", "ERROR"),
}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")
_NAME = re.compile(r"[A-Za-z0-9 _.\-]{1,32}\Z")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9\-._~]+)*/?\Z")
_MOST_PORT = 65_535


def _type_faults(config: Config) -> Iterator[str]:
    for name, kind in _KINDS.items():
        value = getattr(config, name)
        if name == "jws_keys":
            if not _is_keys(value):
                yield "jws_keys must be a table of participant names, each with a file or a list of files"
        elif name == "state":
            if not (isinstance(value, Path) or is_url_of_state(value)):
                yield "state must be a path or a URL such as postgresql://user@host/database"
        elif not _is_of(kind, value):
            yield f"{name} must be {_WORDS[kind]}, not {_shown(name, value)}"


def is_url_of_state(value: object) -> bool:
    """Returns whether the connector's state is in PostgreSQL."""
    return isinstance(value, str) and value.startswith(_URLS)


def _is_of(kind: type, value: object) -> bool:
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind)


def _is_keys(value: object) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(sender, str) and isinstance(files, tuple) and files and all(isinstance(file, str) for file in files)
        for sender, files in value.items()
    )


def _shown(name: str, value: object) -> str:
    return "a secret with a wrong type" if "secret" in name else repr(value)[:80]


def _form_faults(config: Config) -> Iterator[str]:
    for name, kind in _KINDS.items():
        value = getattr(config, name)
        if name in _CHOICES and value not in _CHOICES[name]:
            yield f"{name} must be one of {', '.join(_CHOICES[name])}, not {value!r}"
        elif name.endswith("_port") and not 0 <= value <= _MOST_PORT:
            yield f"{name} must be 0 (any free port) to {_MOST_PORT}, not {value}"
        elif name in ("dfsp", "hub_id") and not _NAME.match(value):
            yield f"{name} must be a participant's name: 1 to 32 letters, digits, spaces and _.-, not {value!r}"
        elif name.endswith("_url") and (value or name == "hub_url") and not _is_url(value):
            yield f"{name} must be a URL such as https://host:port, not {value!r}"
        elif name in ("connections", "stored_terms_bytes", "stored_quotes_bytes") and value < 1:
            yield f"{name} must be 1 or more, not {value}"
        elif kind is float and not (math.isfinite(value) and (value > 0 or (name == "clock_margin_s" and value == 0))):
            yield f"{name} must be a number of seconds above 0, not {value}"
    if not _PREFIX.match(config.inbound_prefix):
        yield f"inbound_prefix must be a path such as /fspiop, not {config.inbound_prefix!r}"


def _is_url(text: str) -> bool:
    try:
        found = urlsplit(text)
        return found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0 and not found.query
    except ValueError:
        return False


def _is_safe(url: str) -> bool:
    """Returns True if the connection's data is safe from changes: the connection uses TLS or stays on this machine."""
    found = urlsplit(url)
    return found.scheme == "https" or found.hostname in ("127.0.0.1", "::1", "localhost")


def load(path: Path | None, environment: Mapping[str, str], flags: Mapping[str, str | None]) -> Config:
    """Reads a Config. File names in a TOML file are relative to the folder of that file."""
    values: dict[str, Any] = {}
    base = Path.cwd()
    if path is not None:
        base = path.resolve().parent
        values.update(_table_of(path))
    for name in _KINDS:
        # Mojaloop's SDK has settings with the same names, but without a prefix.
        bare = environment.get(name.upper()) if name.startswith("auto_accept_") else None
        text = environment.get(f"CONNECTOR_{name.upper()}", bare)
        if text is not None:
            values[name] = _read(name, text)
    values.update({name: _read(name, text) for name, text in flags.items() if text is not None})
    unknown = set(values) - set(_KINDS)
    if unknown:
        raise ConfigError(f"unknown settings: {', '.join(sorted(unknown))}")
    missing = {"dfsp", "hub_url", "state", "ilp_secret"} - set(values)
    if missing:
        raise ConfigError(f"missing settings: {', '.join(sorted(missing))}")
    if isinstance(values["state"], str | Path) and not is_url_of_state(values["state"]):
        values["state"] = base / values["state"]
    for name in FILES:
        if isinstance(values.get(name), str) and values[name]:
            values[name] = str(base / values[name])
    if "jws_keys" in values:
        values["jws_keys"] = _keys_in(values["jws_keys"], base)
    return Config(**values)


def _table_of(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError as error:  # an error in TOML or UTF-8
        raise ConfigError(f"{path} is not TOML: {error}") from None


def _keys_in(value: object, base: Path) -> object:
    """Returns the paths of the key files, relative to `base`.

    Does not change a value of a wrong type, because Config later refuses this value.
    """
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for sender, given in value.items():
        files = [given] if isinstance(given, str) else given
        is_list = isinstance(files, list | tuple) and all(isinstance(file, str) for file in files)
        found[sender] = tuple(str(base / file) for file in files) if is_list else given
    return found


def with_ports(config: Config, *, inbound: int, outbound: int) -> Config:
    """Returns the settings with the ports that the operating system has assigned (port 0 means any free port)."""
    return replace(config, inbound_port=inbound, outbound_port=outbound)


def _read(name: str, text: str) -> Any:
    if name not in _KINDS:
        raise ConfigError(f"unknown setting: {name}")
    kind = _KINDS[name]
    if kind is bool:
        word = text.strip().lower()
        if word not in _TRUE + _FALSE:
            raise ConfigError(f"{name} must be true or false, not {text!r}")
        return word in _TRUE
    if name == "state":
        return text if is_url_of_state(text) else Path(text)
    if name == "jws_keys":  # the form is sender=file,sender=file; a sender with two keys occurs twice
        return _pairs(text)
    try:
        return kind(text)
    except ValueError:
        raise ConfigError(f"{name} must be {_WORDS[kind]}, not {_shown(name, text)}") from None


def _pairs(text: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for pair in filter(None, text.split(",")):
        sender, equals, file = pair.partition("=")
        if not (sender and equals and file):
            raise ConfigError("jws_keys must be sender=file,sender=file")
        found.setdefault(sender, []).append(file)
    return found
