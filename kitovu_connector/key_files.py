"""Reads the key files in the settings. Each error contains the name of the setting."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from fspiop import jws
from kitovu_connector.config import FILES, Config, ConfigError


def check_files(config: Config) -> None:
    """Raises one ConfigError, with a line for each file that cannot be read."""
    faults = []
    for name in FILES:
        file = getattr(config, name)
        try:
            if file:
                Path(file).read_bytes()
        except OSError as error:
            faults.append(f"{name}: {file} cannot be read: {error.strerror}")
    if faults:
        raise ConfigError("\n".join(faults))


def signing_key(config: Config) -> RSAPrivateKey | None:
    """Returns the key with which this DFSP signs its messages, or None if the setting is empty."""
    return private_key("signing_key", config.signing_key) if config.signing_key else None


def private_key(setting: str, file: str) -> RSAPrivateKey:
    """Returns the signing key in this file. Raises ConfigError, which contains the name of the setting."""
    with _naming(setting, file):
        return jws.load_private_key(Path(file).read_bytes())


def public_keys(config: Config) -> dict[str, list[RSAPublicKey]]:
    """Returns the public keys of each sender. A sender that is replacing its key has two keys."""
    return {sender: [_public_key(sender, file) for file in files] for sender, files in config.jws_keys.items()}


def _public_key(sender: str, file: str) -> RSAPublicKey:
    with _naming(f"jws_keys of {sender}", file):
        return jws.load_public_key(Path(file).read_bytes())


@contextmanager
def _naming(setting: str, file: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{setting}: {file} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise ConfigError(f"{setting}: {file}: {error}") from None
