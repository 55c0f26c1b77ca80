"""What operators see of aliases, and moving one to another DFSP."""

import pytest

from directory import builtin_oracle, queries
from directory.aliases import Alias
from directory.models import PartyIdentifier
from fspiop.errors import FspiopError
from hub.audit.models import Entry
from hub.participants import services as participants
from hub.participants.models import Participant
from tests.directory.requests import owner, register

pytestmark = pytest.mark.usefixtures("world")


def fsp(name: str) -> Participant:
    return Participant.objects.get(name=name)


def test_all_registrations_of_an_identifier_are_found_in_any_spelling() -> None:
    register("MSISDN/255655001001", "blue", currency="TZS")
    register("MSISDN/255655001001", "red", currency="KES")
    register("ALIAS/255655001001", "grey")
    register("MSISDN/255655001001/home", "blue")
    register("MSISDN/2556550010012", "green")
    for spelling in ("255655001001", "+255655001001"):
        found = [(row.type, row.sub_id, row.currency, row.fsp.name) for row in queries.registrations_of(spelling)]
        assert found[-3:] == [
            ("MSISDN", "", "KES", "red"),
            ("MSISDN", "", "TZS", "blue"),
            ("MSISDN", "HOME", "", "blue"),
        ]
    assert queries.registrations_of("255655001001").count() == 4
    assert list(queries.shared_identifiers()) == [("MSISDN", "255655001001", 2)]


def test_a_ported_alias_belongs_to_the_new_dfsp_and_the_trail_says_who_did_it() -> None:
    register("MSISDN/255655001001", "blue")
    (row,) = queries.registrations_of("255655001001")
    builtin_oracle.port(row.pk, to=fsp("red"), actor="amina")
    assert owner("MSISDN/255655001001") == "red"
    entry = Entry.objects.get(action="registration_ported")
    assert (entry.actor, entry.before, entry.after) == ("amina", {"fsp": "blue"}, {"fsp": "red"})
    assert "255655001001" not in entry.subject


def test_an_alias_is_ported_to_an_active_dfsp_only() -> None:
    builtin_oracle.register([Alias("MSISDN", "1")], fsp("blue"))
    (row,) = PartyIdentifier.objects.all()
    participants.set_active(fsp("red"), is_active=False, actor="test")
    for to in (fsp("red"), participants.hub()):
        with pytest.raises(FspiopError):
            builtin_oracle.port(row.pk, to=to, actor="amina")
    assert owner("MSISDN/1") == "blue"
    assert not Entry.objects.filter(action="registration_ported").exists()
