"""Examines a connector's settings and keys, its hub, its callback address and its core. For each fault, the examination
also names a remedy.

The examination sends no payment. People can run the examination while the connector runs, or before the connector's
first start.
"""

import asyncio
import hashlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from fspiop import time as fsptime
from fspiop.errors import ErrorCode
from kitovu_connector import key_files, logs, tls, webhook_receiver_check
from kitovu_connector.callers import is_on_network, tokens_in
from kitovu_connector.client import HubClient
from kitovu_connector.config import Config, ConfigError
from kitovu_connector.configured_core import core_of
from kitovu_connector.core_errors import NotUnderstood, Refused, Unavailable
from kitovu_connector.hub_api import CallbackCheck, HubApi, HubRefused, HubUnreachable, Participant, SigningKey
from kitovu_connector.party_identifiers import NOBODY

SOON = timedelta(days=30)
_LONGEST_NAMES = 5


class Verdict(StrEnum):
    """The kind of a check's result. FAULT means that payments do not work. WARNING means that a fault will follow."""

    OK = "OK"
    WARNING = "WARNING"
    FAULT = "FAULT"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. If the check found a fault, `advice` has the remedy."""

    check: str
    verdict: Verdict
    text: str
    advice: str = ""


def is_well(findings: list[Finding]) -> bool:
    """Returns True if no check has found a fault."""
    return not any(finding.verdict is Verdict.FAULT for finding in findings)


async def examine(config: Config) -> AsyncIterator[Finding]:
    """Runs the checks, and yields each finding as soon as its check is complete."""
    for found in (_settings(config), _files(config)):
        yield found
        if found.verdict is Verdict.FAULT:
            return
    keys = list(_keys(config))
    for found in keys:
        yield found
    yield _state(config)
    if is_on_network(config):
        yield _callers(config)
    if config.test_api:
        text = f"{config.outbound_host}:{config.test_port} shows the hub's messages, with the data of customers"
        yield Finding("test API", Verdict.WARNING, text, "Set test_api only for tests.")
    yield await _core(config)
    if config.webhook_url:
        yield await _webhook(config)
    if any(found.verdict is Verdict.FAULT for found in keys):
        yield Finding("hub", Verdict.SKIPPED, "not checked, because a key or certificate is faulty")
        return
    try:
        async with HubClient(config) as client:
            async for found in _at_hub(config, client):
                yield found
    except ConfigError as error:
        yield Finding("keys", Verdict.FAULT, str(error), "Correct these files.")


# --- this machine -----------------------------------------------------------------------------------------------------


def _settings(config: Config) -> Finding:
    try:
        config.check_callers_are_proven()
    except ConfigError as error:
        return Finding("settings", Verdict.FAULT, str(error), "Set one of them: see docs/connect/production.md.")
    if not config.backend_url:
        return Finding(
            "settings", Verdict.FAULT, "backend_url is missing", "Set backend_url to the base URL of your core."
        )
    if not (config.inbound_port and config.outbound_port):
        text = "inbound_port or outbound_port is 0, so the port differs after each start"
        return Finding("settings", Verdict.FAULT, text, "Set both ports: the hub and your core need fixed addresses.")
    return Finding("settings", Verdict.OK, f"{config.dfsp} at {config.hub_url}")


def _callers(config: Config) -> Finding:
    known = {"a client certificate": config.outbound_client_ca, "a token": config.outbound_token_file}
    proofs = [name for name, setting in known.items() if setting]
    if not proofs:
        text = f"every program that can reach {config.outbound_host}:{config.outbound_port} can make payments"
        advice = "Set outbound_token_file or outbound_client_ca, or outbound_host to 127.0.0.1."
        return Finding("core's calls", Verdict.WARNING, text, advice)
    if not config.outbound_cert:
        text = f"the network can read the core's token and payments on {config.outbound_host}:{config.outbound_port}"
        advice = "Set outbound_cert and outbound_key, or keep the port behind a server with TLS on this machine."
        return Finding("core's calls", Verdict.WARNING, text, advice)
    text = f"only a program with {' and '.join(proofs)} may call the connector"
    return Finding("core's calls", Verdict.OK, text)


def _files(config: Config) -> Finding:
    try:
        key_files.check_files(config)
        if config.outbound_token_file:
            tokens_in(config.outbound_token_file)
    except ConfigError as error:
        return Finding("files", Verdict.FAULT, str(error), "Correct the path, or let this user read the file.")
    return Finding("files", Verdict.OK, "every file can be read")


def _keys(config: Config) -> Iterator[Finding]:
    try:
        key_files.signing_key(config)
        key_files.public_keys(config)
        yield Finding("keys", Verdict.OK, "the signing keys can be used")
    except ConfigError as error:
        yield Finding(
            "keys", Verdict.FAULT, str(error), "Use an RSA key in PEM of 2048 bits or more, without a password."
        )
    try:
        tls.outward(config)
        tls.inward(config)
        tls.for_core(config)
        tls.of_command_line(config)
    except ConfigError as error:
        advice = "The certificate must belong to this key: correct the paths."
        yield Finding("certificate", Verdict.FAULT, str(error), advice)
        return
    for name in ("client_cert", "inbound_cert", "outbound_cert", "command_cert"):
        file = getattr(config, name)
        if file:
            yield _end_of(name, Path(file))


def _end_of(name: str, file: Path) -> Finding:
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    left = certificate.not_valid_after_utc - datetime.now(UTC)
    day = f"{certificate.not_valid_after_utc:%Y-%m-%d}"
    renew = "Renew it: `kitovu-connector certificate request`, then `kitovu-connector certificate fetch`."
    if name != "client_cert":
        renew = "Get a new certificate from the same authority. The connector uses the new file within seconds."
    if left <= timedelta():
        return Finding("certificate", Verdict.FAULT, f"{name}: {file} expired on {day}", renew)
    if left <= SOON:
        return Finding("certificate", Verdict.WARNING, f"{name} expires on {day}, in {left.days} days", renew)
    return Finding("certificate", Verdict.OK, f"{name} is valid until {day}")


def _state(config: Config) -> Finding:
    if isinstance(config.state, str):
        return _state_in_postgresql(config.state)
    folder = config.state
    while not folder.exists():
        folder = folder.parent
    if not os.access(folder, os.W_OK):
        return Finding(
            "state", Verdict.FAULT, f"{config.state} cannot be written", "Let the connector's user write there."
        )
    return Finding("state", Verdict.OK, str(config.state))


def _state_in_postgresql(url: str) -> Finding:
    try:
        from kitovu_connector.postgresql_state import examine
    except ImportError:
        return Finding("state", Verdict.FAULT, "psycopg is not installed", "pip install 'kitovu-connector[postgresql]'")
    fault = examine(url)
    if fault:
        return Finding("state", Verdict.FAULT, f"PostgreSQL: {fault}", "Correct `state`, or start the database.")
    return Finding("state", Verdict.OK, "PostgreSQL answers, and the connector can create its tables")


async def _core(config: Config) -> Finding:
    """Sends the core a lookup of a number that no customer can have."""
    path = f"{config.backend_url.rstrip('/')}/parties/{'/'.join(NOBODY)}"
    try:
        async with core_of(config) as core:
            found = await core.find_party(*NOBODY, None)
    except Unavailable as error:
        advice = f"Start the core, or correct backend_url. Try: curl -i {path}"
        return Finding("core", Verdict.FAULT, f"GET {path}: {error}", advice)
    except NotUnderstood as error:
        advice = 'Answer 404 if you do not know the customer, and 200 with {"displayName": ...} if you do.'
        return Finding("core", Verdict.FAULT, f"GET {path}: {logs.without_numbers(str(error))}", advice)
    except Refused as error:
        return Finding("core", Verdict.OK, f"the core answers, here with the code {error.code}")
    return Finding(
        "core", Verdict.OK, "the core answers" + ("" if found is None else ", even for a number without a customer")
    )


async def _webhook(config: Config) -> Finding:
    """Sends test events to the core. They report nothing."""
    url = config.webhook_url
    try:
        right, wrong = await webhook_receiver_check.statuses(config)
    except ConfigError as error:
        advice = 'Make a secret: echo "whsec_$(openssl rand -base64 32)" > webhook.secret'
        return Finding("webhook", Verdict.FAULT, str(error), advice)
    except webhook_receiver_check.Unreachable as error:
        advice = "Start the core's receiver of events, or correct webhook_url."
        return Finding("webhook", Verdict.FAULT, f"{url} does not respond: {error}", advice)
    if right in (401, 403):
        advice = "Give the core the connector's webhook secret, and check how the core computes webhook-signature."
        return Finding("webhook", Verdict.FAULT, f"{url} refuses the right signature: HTTP {right}", advice)
    if not 200 <= right < 300:
        advice = "Answer 2xx to each event with a right signature, also to a type of event that you do not know."
        return Finding("webhook", Verdict.FAULT, f"{url} answers an event with HTTP {right}", advice)
    if 200 <= wrong < 300:
        advice = "Refuse a wrong webhook-signature. Otherwise anybody can report a payment as ended to your core."
        return Finding("webhook", Verdict.WARNING, f"{url} takes an event with a wrong signature", advice)
    return Finding("webhook", Verdict.OK, f"{url} takes an event with the right signature only")


# --- the hub ----------------------------------------------------------------------------------------------------------


async def _at_hub(config: Config, client: HubClient) -> AsyncIterator[Finding]:
    api = HubApi(client)
    try:
        await api.time()
    except HubUnreachable as error:
        yield _unreachable(config, error)
        return
    except HubRefused as error:
        for found in _not_accepted(config, error):
            yield found
        return
    yield Finding("hub", Verdict.OK, f"{config.hub_url} answers")
    yield Finding("credentials", Verdict.OK, f"the hub accepts this connector as {config.dfsp}")
    yield _clock(config, client)
    try:
        mine = await api.participant()
        listed = await api.signing_keys()
        assert listed is not None
        yield _participant(mine)
        if config.client_cert:
            yield _registered(config, mine)
        yield _signature(config, mine)
        yield _others_keys(config, listed[0])
        for found in await _limits(api):
            yield found
        yield await _callback(config, api)
    except (HubUnreachable, HubRefused) as error:
        yield Finding("hub", Verdict.FAULT, f"the hub does not respond any more: {error}", "Try again.")


def _unreachable(config: Config, why: HubUnreachable) -> Finding:
    if "token" in str(why):
        return Finding("token", Verdict.FAULT, str(why), "Correct token_url or hub_token_file.")
    if why.is_insecure:
        advice = (
            "Set hub_ca to the authority of the hub's certificate, and hub_url to the host name in that certificate."
        )
        return Finding("hub", Verdict.FAULT, f"no secure connection to {config.hub_url}: {why}", advice)
    advice = "Correct hub_url, or mend the connection to the hub: name resolution, firewall, proxy."
    return Finding("hub", Verdict.FAULT, f"{config.hub_url} cannot be reached: {why}", advice)


def _not_accepted(config: Config, error: HubRefused) -> Iterator[Finding]:
    if error.text.startswith("no token"):
        advice = "Correct token_client and token_secret. The operator can create a new token client for you."
        yield Finding("token", Verdict.FAULT, f"the hub gives no token: {error.text}", advice)
        return
    if not error.code:
        advice = "hub_url must be the base URL of the hub's API for DFSPs, without an additional path."
        yield Finding("hub", Verdict.FAULT, f"{config.hub_url} is not the hub's API: {error}", advice)
        return
    yield Finding("hub", Verdict.OK, f"{config.hub_url} answers")
    if error.status == 401:
        text = "the hub does not accept the credentials"
        advice = (
            "Register the client certificate with the operator, or get a new token client."
            " Certificates and token clients expire, and the operator sees their expirations."
        )
    elif error.status == 403:
        text = f"the hub does not accept the credentials for {config.dfsp}"
        advice = "dfsp must be the certificate's and token's participant, with a network that includes this address."
    elif error.code == ErrorCode.ID_NOT_FOUND.code:
        text = f"the hub has no participant {config.dfsp}"
        advice = "Correct dfsp: it must equal the name that the operator has registered, in upper and lower case too."
    else:
        text, advice = f"the hub refuses every request: {error}", "Correct the fault that the hub's text describes."
    yield Finding("credentials", Verdict.FAULT, text, advice)


def _clock(config: Config, client: HubClient) -> Finding:
    measured = client.clock.measured
    if measured is None:
        return Finding("clock", Verdict.WARNING, "the hub's responses have no Date", "Ask the operator.")
    text = f"the hub's clock is {measured.ahead_s:+.1f} s from this machine's (± {measured.uncertain_s:.1f} s)"
    if client.clock.is_within_margin:
        return Finding("clock", Verdict.OK, text)
    advice = f"Set this machine's clock (NTP). The largest difference is clock_margin_s = {config.clock_margin_s:g} s."
    return Finding("clock", Verdict.FAULT, text, advice)


def _participant(mine: Participant) -> Finding:
    if not mine.is_active:
        return Finding(
            "participant",
            Verdict.FAULT,
            f"{mine.name} is disabled at the hub",
            "Ask the operator to enable your participant.",
        )
    if mine.is_leaving or not (mine.may_send and mine.may_receive):
        directions = {
            (False, False): "neither send nor receive",
            (False, True): "not send",
            (True, False): "not receive",
        }
        text = f"{mine.name} may {directions.get((mine.may_send, mine.may_receive), 'begin no payment')}"
        return Finding("participant", Verdict.WARNING, text, "If this is not what you agreed, ask the operator.")
    return Finding("participant", Verdict.OK, f"{mine.name} is active")


def _registered(config: Config, mine: Participant) -> Finding:
    certificate = x509.load_pem_x509_certificate(Path(config.client_cert).read_bytes())
    own = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    if own in {credential.sha256 for credential in mine.credentials}:
        return Finding("certificate", Verdict.OK, "the hub has registered client_cert")
    advice = "Ask the operator to register your certificate, or run `kitovu-connector certificate request`."
    return Finding("certificate", Verdict.WARNING, "the hub has not registered client_cert", advice)


def _signature(config: Config, mine: Participant) -> Finding:
    key = key_files.signing_key(config)
    if key is None:
        if mine.signatures != "required":
            return Finding("signature", Verdict.OK, "not used, because this hub does not require signatures")
        advice = "Set signing_key. `kitovu-connector init` can create a key."
        return Finding("signature", Verdict.FAULT, "this hub requires signatures, and signing_key is not set", advice)
    now, own = datetime.now(UTC), key_id(key)
    for credential in mine.credentials:
        if credential.kind == "signingKey" and credential.sha256 == own:
            if fsptime.parse_datetime(credential.valid_from) > now:
                text = f"the hub accepts signing_key only from {credential.valid_from}"
                return Finding("signature", Verdict.FAULT, text, "Sign with the earlier key until then.")
            return Finding("signature", Verdict.OK, f"the hub accepts signing_key until {credential.valid_until[:10]}")
    advice = "Submit it: `kitovu-connector signing-key submit`, or give the operator the public key."
    return Finding("signature", Verdict.FAULT, f"the hub does not know signing_key ({own[:16]}…)", advice)


def _others_keys(config: Config, listed: list[SigningKey]) -> Finding:
    if not config.verify_jws:
        return Finding("keys of others", Verdict.OK, "not used: verify_jws is false")
    if config.fetch_keys:
        return Finding("keys of others", Verdict.OK, f"the connector fetches the {len(listed)} keys from the hub")
    known = {sender: {key_id(key) for key in keys} for sender, keys in key_files.public_keys(config).items()}
    now = datetime.now(UTC)
    missing = sorted(
        {
            key.participant
            for key in listed
            if key.participant != config.dfsp
            and (key.valid_from is None or fsptime.parse_datetime(key.valid_from) <= now)
            and key.key_id not in known.get(key.participant, set())
        }
    )
    if not missing:
        return Finding("keys of others", Verdict.OK, f"jws_keys has the present keys of {len(known)} senders")
    names = ", ".join(missing[:_LONGEST_NAMES]) + (" and others" if len(missing) > _LONGEST_NAMES else "")
    advice = "Write them: `kitovu-connector signing-key fetch`, and restart the connector."
    return Finding("keys of others", Verdict.FAULT, f"jws_keys lacks a present key of {names}", advice)


async def _limits(api: HubApi) -> list[Finding]:
    found = []
    for position in await api.positions():
        free = position.free or "0"
        text = f"{free} {position.currency} may still be sent"
        if not position.is_active:
            found.append(
                Finding(
                    "limit", Verdict.WARNING, f"the account in {position.currency} is disabled", "Ask the operator."
                )
            )
        elif free == "0" or free.startswith("-"):
            advice = "Ask the operator about your net debit cap and your liquidity cover."
            found.append(Finding("limit", Verdict.WARNING, f"{text}: you can receive payments, but cannot pay", advice))
        else:
            found.append(Finding("limit", Verdict.OK, text))
    return found or [
        Finding("limit", Verdict.FAULT, "no account in any currency", "Ask the operator to open an account.")
    ]


async def _callback(config: Config, api: HubApi) -> Finding:
    try:
        found = await api.check_callback()
    except HubRefused as error:
        if error.status == 429:
            return Finding(
                "callback", Verdict.SKIPPED, "the hub checks an endpoint once in 10 s", "Run doctor again in 10 s."
            )
        if error.code == ErrorCode.INVALID_SIGNATURE.code:
            advice = "Sign with the key that the hub knows: see the finding `signature`."
            return Finding("callback", Verdict.FAULT, f"the hub refuses the signature: {error.text}", advice)
        return Finding(
            "callback", Verdict.FAULT, f"the hub does not check it: {error}", "Correct the fault in the text."
        )
    if found.is_taken:
        return Finding("callback", Verdict.OK, f"the hub reaches {found.url} in {found.milliseconds} ms")
    return await _callback_fault(config, found)


async def _callback_fault(config: Config, found: CallbackCheck) -> Finding:
    if not found.is_reachable:
        text = f"the hub cannot reach {found.url or 'this DFSP'}: {found.error}"
        if not await _listens(config):
            advice = f"Start the connector: nothing listens on {config.inbound_host}:{config.inbound_port}."
        else:
            advice = "The connector listens. Correct the endpoint at the hub, the firewall, or inbound_host."
        return Finding("callback", Verdict.FAULT, text, advice)
    text = f"{found.url} answers the hub with HTTP {found.status} {found.error_code or ''}: {found.error}"
    if found.error_code == ErrorCode.INVALID_SIGNATURE.code:
        advice = (
            f"jws_keys has another key of {config.hub_id}. Write the present one: `kitovu-connector signing-key fetch`."
        )
    elif found.status == 403:
        advice = "inbound_client_name is not a name in the hub's certificate."
    elif found.status == 404:
        advice = "inbound_prefix must be the path of the endpoint that is registered at the hub."
    elif found.error_code == ErrorCode.VALIDATION_ERROR.code:
        advice = "Another DFSP's connector answers there, or hub_id is not the hub's name."
    else:
        advice = "Something other than this connector answers there."
    return Finding("callback", Verdict.FAULT, text, advice)


async def _listens(config: Config) -> bool:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.inbound_host, config.inbound_host)  # noqa: S104
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(host, config.inbound_port)
    except (OSError, TimeoutError, socket.gaierror, ssl.SSLError):
        return False
    writer.close()
    return True


def key_id(key: RSAPrivateKey | RSAPublicKey) -> str:
    """Returns the SHA-256 by which the hub identifies a key. It is the SHA-256 of the key's SubjectPublicKeyInfo."""
    public = key.public_key() if isinstance(key, RSAPrivateKey) else key
    return hashlib.sha256(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


__all__ = ["Finding", "Verdict", "examine", "is_well", "key_id"]
