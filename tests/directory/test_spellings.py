"""One alias has one spelling, identifier and sub-id alike: checked by what is stored, each entry of a batch alone."""

import unicodedata
import uuid
from importlib import import_module

import pytest
from django.apps import apps

from directory.aliases import Alias, Registration, check_readable, fitting
from directory.models import PartyIdentifier
from fspiop.errors import FspiopError
from tests.api.caller import dfsp, error_of
from tests.directory.requests import last_callback, owner, refusal, register
from tests.world import World

ZOE, ZOE_IN_PARTS = "Zoë", unicodedata.normalize("NFD", "Zoë")
# Not one of these is seen, and each makes another text of the same look.
INVISIBLE = "\u00a0\u00ad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200c\u200d\u200e\u202e\u2028\u2060\u2800\u3000"
INVISIBLE += (
    "\u3164\ufe0f\ufeff\uffa0\ufff9\U000e0001\U000e0041\U000e0100\u2d7f\U0001107f\U00016fe4\U0001d159\x85\ue000\x00\x7f"
)
GROWS = "\u0958" * 65  # 65 characters, and 130 in the form that is stored


def is_readable(identifier: str, sub_id: str = "") -> bool:
    try:
        check_readable(Alias("DEVICE", identifier, sub_id))
    except FspiopError:
        return False
    return True


def test_what_nobody_sees_is_in_no_identifier_and_no_sub_id() -> None:
    for character in INVISIBLE:
        for text in (f"a{character}b", f"{character}a", f"a{character}"):
            assert not is_readable(text), ascii(text)
            assert not is_readable("a", text), ascii(text)
    for text in (" a", "a ", " ", ".", "..", "a/b", "/", "a" * 129, GROWS):
        assert (is_readable(text), is_readable("a", text)) == (False, False), ascii(text)
    for text in ("a b", "O'Brien & Söhne #1", ZOE, ZOE_IN_PARTS, "दुकान", "متجر", "店", "...", "a" * 128, GROWS[:64]):
        assert (is_readable(text), is_readable("a", text)) == (True, True), ascii(text)


def test_two_spellings_have_one_key() -> None:
    for one, another in (("home", "HOME"), (ZOE, ZOE_IN_PARTS), ("Main  Shop", "main shop"), ("straße", "STRASSE")):
        assert Alias("DEVICE", "a", one).sub_key == Alias("DEVICE", "a", another).sub_key
        assert len(Alias("DEVICE", "a", one).sub_key) <= 128
    assert Alias("DEVICE", "a  b").key == Alias("DEVICE", "a b").key
    assert Alias("DEVICE", ZOE).key == Alias("DEVICE", ZOE_IN_PARTS).key
    shown = [Registration("blue", sub_id="Home")]
    assert fitting(shown, Alias("DEVICE", "a", "hOME")) == shown
    assert fitting(shown, Alias("DEVICE", "a", "away")) == []


def test_a_sub_id_in_two_spellings_has_one_owner(world: World) -> None:
    register("PERSONAL_ID/123/Passport", "green")
    for spelling in ("PASSPORT", "passport"):
        register(f"PERSONAL_ID/123/{spelling}", "blue")
        assert refusal()[1] == "3003"
        assert owner(f"PERSONAL_ID/123/{spelling}") == "green"
    register(f"PERSONAL_ID/123/{ZOE}", "green")
    register(f"PERSONAL_ID/123/{ZOE_IN_PARTS}", "blue")
    assert refusal()[1] == "3003"
    dfsp("DELETE", "/participants/PERSONAL_ID/123/pASSPORT", source="green")
    assert owner("PERSONAL_ID/123/Passport") is None
    assert PartyIdentifier.objects.count() == 1


@pytest.mark.parametrize("place", ["partyIdentifier", "partySubIdOrType"])
def test_one_bad_entry_never_harms_its_batch(world: World, place: str) -> None:
    bad = [GROWS, "\u200b", "a\u202eb", ".."]
    good = {"partyIdType": "DEVICE", "partyIdentifier": "till 1", "fspId": "green"}
    parties = [good, *({**good, "partyIdentifier": f"till {n}", place: text} for n, text in enumerate(bad, 2))]
    body = {"requestId": str(uuid.uuid4()), "partyList": parties}
    assert dfsp("POST", "/participants", body, source="green").status_code == 200
    results = last_callback()[2]["partyList"]
    assert ["errorInformation" in result for result in results] == [False, True, True, True, True]
    assert list(PartyIdentifier.objects.values_list("identifier", "fsp__name")) == [("till 1", "green")]


def test_a_path_with_dots_or_what_nobody_sees_is_refused_and_names_nothing(world: World) -> None:
    for path in (
        *(
            "/participants/DEVICE/..",
            "/participants/DEVICE/a/../b",
            "/participants/DEVICE/a/b/%2e%2e/c",
            "/parties/../x",
        ),
        *("/parties/../x", "/parties/DEVICE/a/b%2f..", "/participants/DEVICE/%2e"),
        *("/parties/DEVICE/a%00", "/parties/DEVICE/a/%00/b/c", "/parties/DEVICE/./a/b/c", "/participants/%00"),
        *("/parties/DEVICE/a%E2%80%8B", "/parties/DEVICE/a/%EF%BB%BFb", "/participants/EMAIL/%C2%ADa@b.c"),
    ):
        for method in ("GET", "DELETE") if "participants" in path else ("GET",):
            assert error_of(dfsp(method, path)) == (400, "3100"), (method, path)


def test_registrations_of_before_are_found_by_the_canonical_sub_id(world: World) -> None:
    def row(identifier: str, sub_id: str, fsp: str) -> PartyIdentifier:
        return PartyIdentifier.objects.create(
            type="DEVICE", identifier=identifier, sub_id=sub_id, fsp_id=world.ids[fsp]
        )

    row("a", "home", "green")
    row("b", "home", "green")
    row("b", "Home", "blue")
    row("c", "HOME", "green")
    row("c", "home", "blue")
    row("d", "", "green")
    import_module("directory.migrations.0005_canonical_sub_ids").respell(apps, None)
    assert [owner(f"DEVICE/{path}") for path in ("a/home", "b/home", "c/home", "d")] == ["green"] * 4
    # What would be the same alias of two DFSPs stays as it was, and is not found; an operator sees it in the portal.
    rows = PartyIdentifier.objects.order_by("id").values_list("identifier", "sub_id")
    assert list(rows) == [("a", "HOME"), ("b", "HOME"), ("b", "Home"), ("c", "HOME"), ("c", "home"), ("d", "")]
