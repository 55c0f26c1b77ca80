"""manage.py rules: check, import, export, show, activate; and the same changes under two people."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import override_settings

from hub.audit.models import Approval
from ledger.rule_history import replayed_rules
from portal import changes
from portal.permissions import Role
from portal.visitor import visitor_for
from rules.language.parse import MOST_BYTES
from rules.language.schema import schema
from rules.rulesets import active_rules, services, sql_for_payments
from rules.rulesets.models import Activation, RuleSetVersion
from tests.portal.people import person
from tests.rules.rule_sets import above, cap, create, document, refuse, rule
from tests.world import World


def said(*arguments: Any) -> str:
    out = StringIO()
    call_command("rules", *map(str, arguments), stdout=out)
    return out.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(document(cap("10"), rule("b", above("20"), refuse(), gate="transfer"))))
    return path


def test_a_file_becomes_a_version_that_is_active_and_comes_out_equal(world: World, file: Path) -> None:
    assert said("check", file).startswith("the scheme's rules: ok, 2 rules, ")
    assert not RuleSetVersion.objects.exists()
    assert said("import", file) == said("import", file)
    version = RuleSetVersion.objects.get()
    assert said("show") == "no rules are active\n"
    assert said("activate", version.pk).startswith("active from ")
    assert "cap-10" in said("show")
    assert f"version {version.pk}" in said("show", "--all")
    assert json.loads(said("export", version.pk)) == json.loads(file.read_text())
    found = active_rules.current()
    assert found is not None
    assert found.version == version.pk
    said("activate", "none")
    assert active_rules.current() is None


def test_the_command_writes_the_json_schema_of_rule_sets() -> None:
    assert json.loads(said("schema")) == schema()


def test_the_largest_rule_set_is_stored_and_activated_and_comes_out_small_enough(world: World, tmp_path: Path) -> None:
    """PostgreSQL writes the stored JSON with more spaces."""
    one = cap("10") | {"id": "r0000", "when": {"payer_dfsps": [f"dfsp{number:03}" for number in range(100)]}}
    most = MOST_BYTES // len(json.dumps(one, separators=(",", ":"))) - 2
    large = document(*(one | {"id": f"r{number:04}"} for number in range(most)))
    path = tmp_path / "rules.json"
    path.write_text(json.dumps(large, separators=(",", ":")))
    said("import", path)
    version = RuleSetVersion.objects.get()
    assert len(sql_for_payments.content(version.pk)) > MOST_BYTES
    assert said("activate", version.pk).startswith("active from ")
    found = active_rules.current()
    assert found is not None
    assert found.version == version.pk
    assert len(replayed_rules.of_version(version.pk).by_gate["quote"].rules) == most
    path.write_text(said("export", version.pk))
    said("import", path)
    assert RuleSetVersion.objects.count() == 1


def test_each_fault_of_a_file_is_told_with_its_place(world: World, tmp_path: Path) -> None:
    path = tmp_path / "faulty.json"
    faulty = rule("b", {"fact": "amuont", "is": "above", "value": 1}, {"action": "refuse", "code": "3100"})
    path.write_text(json.dumps(document(cap("10"), faulty)))
    for action in ("check", "import"):
        with pytest.raises(CommandError) as error:
            said(action, path)
        assert [line.split(":")[0] for line in str(error.value).splitlines()] == [
            "rules[1].if.fact",
            "rules[1].then.code",
        ]
    for wrong in (("activate", 99), ("export", 99), ("activate", "some"), ("check", tmp_path / "none.json")):
        with pytest.raises(CommandError):
            said(*wrong)
    assert not Activation.objects.exists()


@pytest.mark.parametrize("option", ["--from", "--until"])
@pytest.mark.parametrize(
    ("text", "fault"),
    [("tomorrow", "'tomorrow' is not a time: "), ("2026-12-01T00:00:00", "'2026-12-01T00:00:00' has no time zone: ")],
)
def test_a_time_that_cannot_be_read_is_refused_with_an_example(
    world: World, option: str, text: str, fault: str
) -> None:
    with pytest.raises(CommandError, match=f"{fault}.*for example 2026-12-01T00:00:00Z"):
        said("activate", create(cap("10")).pk, option, text)
    with pytest.raises(CommandError, match=f"{fault}.*for example 2026-12-01T00:00:00Z"):
        said("replay", {"--from": "--since"}.get(option, option), text)
    assert not Activation.objects.exists()


def test_a_word_in_place_of_a_version_is_reported(world: World) -> None:
    with pytest.raises(CommandError, match="'latest' is not a version: write the version's number, or none"):
        said("activate", "latest")


def test_where_programs_need_a_second_person_a_command_only_asks(world: World) -> None:
    version = create(cap("10"))
    with override_settings(TWO_PEOPLE="everywhere"):
        assert said("activate", version.pk, "--reason", "from today").startswith("Request ")
    assert not Activation.objects.exists()
    approval = Approval.objects.get()
    changes.approve(visitor_for(person(Role.RISK)), approval.pk)
    activation = Activation.objects.get()
    assert (activation.version_id, activation.reason) == (version.pk, "from today")
    assert ", approved by " in activation.actor


def test_what_was_asked_before_another_activation_is_not_approved(world: World) -> None:
    old, new = create(cap("10")), create(cap("20"))
    asha, ben = (visitor_for(person(Role.RISK, name=name)) for name in ("asha", "ben"))
    payload = services.activation_terms(old.pk, reason="test")
    approval = changes.ask(asha, "activate_rules", subject="rules", payload=payload, reason="test")
    services.activate(new.pk, reason="test", actor="others")
    with pytest.raises(changes.NotApproved):
        changes.approve(ben, approval.pk)
    with pytest.raises(changes.NotApproved):
        changes.approve(asha, approval.pk)
    assert Activation.objects.get().version_id == new.pk
