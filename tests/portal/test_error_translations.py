"""What is wrong with a pasted key, certificate or request is said in the reader's language."""

import ast
import inspect

import pytest
from django.conf import settings
from django.utils import translation

from fspiop import base64url, jws, keys
from hub.participants import certificate_authority, profile
from portal import error_translations
from portal.permissions import Role
from tests.portal.people import browser
from tests.world import World

LANGUAGES = [code for code, _name in settings.LANGUAGES if code != "en"]


def raised(function: object) -> list[str]:
    """What a function raises as ValueError, with an x for each part that is put in."""
    found = []
    for node in ast.walk(ast.parse(inspect.getsource(function).strip())):  # type: ignore[arg-type]
        is_one = isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args
        if is_one and getattr(node.exc.func, "id", "") == "ValueError":  # type: ignore[union-attr]
            found.append(_text(node.exc.args[0]))  # type: ignore[union-attr]
    return found


def _text(node: ast.expr) -> str:
    match node:
        case ast.Constant(value):
            return str(value)
        case ast.JoinedStr(values):
            return "".join(part.value if isinstance(part, ast.Constant) else "x" for part in values)  # type: ignore[misc]
        case ast.Subscript(value):
            return _text(value)
        case ast.Name("_PRIVATE"):
            return keys._PRIVATE
    raise AssertionError(ast.dump(node))


READERS = (
    keys,
    base64url.decode,
    jws.load_public_key,
    jws.check_strength,
    certificate_authority.read_request,
    profile.read_networks,
)


@pytest.mark.parametrize("code", LANGUAGES)
def test_everything_that_a_reader_finds_wrong_is_said_in_each_language(code: str) -> None:
    texts = [text for reader in READERS for text in raised(reader)]
    assert len(texts) > 20
    with translation.override(code):
        assert [text for text in texts if error_translations.translated(text) == text] == []


def test_parts_are_kept_and_what_a_library_says_is_left_as_it_is() -> None:
    with translation.override("fr"):
        assert "1024" in error_translations.translated("an RSA key must have 2048 to 4096 bits, not 1024")
        nested = error_translations.translated("not a usable public key in PEM, X.509 or JWK: not an RSA key")
        assert nested.endswith(error_translations.translated("not an RSA key"))
        assert "RSA key" not in nested
        assert error_translations.translated("MalformedFraming at byte 7") == "MalformedFraming at byte 7"
        assert "%(name)s" in error_translations.translated(
            "its subject must have the common name %(name)s, and no other"
        )


@pytest.mark.parametrize(
    ("path", "field", "code", "said"),
    [
        ("certificates/new/", "csr", "fr", "La demande de signature est illisible"),
        ("certificates/new/", "csr", "sw", "Ombi la kutiwa saini halisomeki"),
        ("credentials/new/", "text", "fr", "utilisable"),
    ],
)
def test_a_wrong_pem_is_answered_in_the_visitors_language(
    world: World, path: str, field: str, code: str, said: str, settings: object, tmp_path: object
) -> None:
    settings.HUB_CA_CERTIFICATE_FILE = settings.HUB_CA_KEY_FILE = "there"  # type: ignore[attr-defined]
    client = browser(Role.OPERATOR)
    answer = client.post(
        f"/portal/participants/green/{path}",
        {field: "no PEM at all", "kind": "signingKey", "reason": "r"},
        headers={"accept-language": code},
    )
    assert answer.status_code == 400
    assert said.lower() in answer.content.decode().lower()
