"""manage.py party_list, as an operator uses it before the portal."""

import io
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from portal import changes
from portal.permissions import Role
from portal.visitor import visitor_for
from rules.lists import matches
from rules.lists.models import PartyList
from tests.portal.people import person
from tests.rules.test_lists import ADA, BLOCKED, file_of
from tests.world import World


def run(*arguments: str) -> str:
    said = io.StringIO()
    call_command("party_list", *arguments, stdout=said)
    return said.getvalue()


@pytest.fixture
def good(tmp_path: Path) -> str:
    (tmp_path / "good.csv").write_bytes(file_of(ADA, name=""))
    return str(tmp_path / "good.csv")


def test_a_list_is_made_and_filled(world: World, good: str) -> None:
    run("create", "blocked", "--kind", "BLOCK")
    assert run("import", "blocked", good) == "list blocked has version 1: 1 entries added, 0 removed\n"
    assert run("show") == "blocked (BLOCK): version 1, 1 parties, 0 names\n"
    assert matches.matches([ADA]) == {ADA: BLOCKED}


def test_every_bad_line_is_printed(world: World, tmp_path: Path, good: str) -> None:
    run("create", "blocked", "--kind", "BLOCK")
    bad = tmp_path / "bad.csv"
    bad.write_text("type,identifier\nMSISDN,x\nMSISDN,1\nPHONE,1\n")
    with pytest.raises(CommandError, match=r"2 bad lines\n  line 2: identifier .*\n  line 4: type must"):
        run("import", "blocked", str(bad))
    for arguments in (
        ("import", "other", good),
        ("import", "blocked", f"{good}x"),
        ("create", "Bad", "--kind", "BLOCK"),
    ):
        with pytest.raises(CommandError):
            run(*arguments)
    assert PartyList.objects.get().version == 0


@override_settings(TWO_PEOPLE="everywhere")
def test_a_second_person_approves_where_commands_need_one(world: World, good: str) -> None:
    run("create", "blocked", "--kind", "BLOCK")
    said = run("import", "blocked", good)
    assert matches.matches([ADA]) == {}
    number = int(said.split("Request ")[1].split()[0])
    changes.approve(visitor_for(person(Role.RISK)), number)
    assert matches.matches([ADA]) == {ADA: BLOCKED}
