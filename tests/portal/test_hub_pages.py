"""The pages about the hub itself: accounts, settlement models, currency pairs, certificates, settings in force."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import override_settings

from hub.audit.models import Approval
from hub.participants.models import CurrencyPair
from ledger.models import Account
from portal import settings_in_force
from portal.permissions import Role
from settlement.models import SettlementModel
from tests.portal.people import browser
from tests.world import World


def approve(checker: object) -> None:
    checker.post(f"/portal/approvals/{Approval.objects.latest('id').pk}/approve/")  # type: ignore[attr-defined]


def test_the_hubs_accounts_and_balances_are_shown_and_opened_by_two(world: World) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    page = operator.get("/portal/hub/").content.decode()
    assert "HUB_RECONCILIATION" in page
    assert "20,000.00" in page  # the other side of the four participants' funds
    asked = {"type": "HUB_RECONCILIATION", "currency": "KES", "reason": "a second currency"}
    assert operator.post("/portal/hub/accounts/new/", asked).status_code == 302
    assert not Account.objects.filter(participant__is_hub=True, currency="KES").exists()
    approve(checker)
    assert Account.objects.filter(participant__is_hub=True, currency="KES", type="HUB_RECONCILIATION").exists()
    assert operator.post("/portal/hub/accounts/new/", asked).status_code == 400


def test_a_settlement_model_is_made_and_paused_by_two(world: World) -> None:
    officer, checker = browser(Role.SETTLEMENT), browser(Role.RISK)
    asked = {
        "name": "KES_NET",
        "method": "DEFERRED NET MULTILATERAL",
        "currency": "KES",
        "account_type": "POSITION",
        "require_liquidity_check": "on",
        "auto_position_reset": "on",
        "reason": "a second currency",
    }
    assert officer.post("/portal/hub/models/new/", asked).status_code == 302
    assert not SettlementModel.objects.filter(name="KES_NET").exists()
    approve(checker)
    model = SettlementModel.objects.get(name="KES_NET")
    assert (model.delay, model.granularity, model.settlement_account_type) == ("DEFERRED", "NET", "SETTLEMENT")
    assert "KES_NET" in officer.get("/portal/hub/models/").content.decode()
    for wrong in ({}, {"method": "IMMEDIATE GROSS BILATERAL", "currency": "", "name": "X1"}, {"name": "a b"}):
        assert officer.post("/portal/hub/models/new/", asked | wrong).status_code == 400
    assert officer.post(f"/portal/hub/models/{model.pk}/activity/", {"reason": "not used"}).status_code == 302
    approve(checker)
    assert not SettlementModel.objects.get(name="KES_NET").is_active


def test_a_currency_pair_is_added_and_removed_by_two(world: World) -> None:
    operator, checker = browser(Role.OPERATOR), browser(Role.RISK)
    asked = {"participant": "green", "source": "TZS", "target": "KES", "reason": "an FXP"}
    fields = operator.get("/portal/hub/pairs/new/").context["form"].fields
    assert [next(iter(fields[name].choices))[0] for name in ("source", "target")] == ["", ""], "nothing is preselected"
    assert operator.post("/portal/hub/pairs/new/", asked | {"target": "TZS"}).status_code == 400
    assert operator.post("/portal/hub/pairs/new/", asked).status_code == 302
    assert not CurrencyPair.objects.exists()
    approve(checker)
    pair = CurrencyPair.objects.get()
    assert "green" in operator.get("/portal/hub/pairs/").content.decode()
    operator.post(f"/portal/hub/pairs/{pair.pk}/withdraw/", {"reason": "ended"})
    approve(checker)
    assert not CurrencyPair.objects.exists()


def test_the_hubs_certificates_are_shown_without_their_keys(world: World, tmp_path: Path) -> None:
    from hub.participants import certificate_authority

    certificate, key = tmp_path / "ca.pem", tmp_path / "ca.key"
    certificate_authority.create("Our scheme", certificate_file=certificate, key_file=key)
    with override_settings(HUB_CA_CERTIFICATE_FILE=str(certificate), HUB_CA_KEY_FILE=str(key), CALLBACK_CA_FILE="/x"):
        page = browser(Role.VIEWER).get("/portal/hub/certificates/").content.decode()
    assert "Our scheme" in page
    assert re.search(r">[0-9a-f]{64}<", page)
    assert "this process cannot read the file" in page
    assert "PRIVATE" not in page


SECRET = "a-secret-that-nobody-may-read"


@pytest.mark.parametrize("name", sorted(settings_in_force.SECRETS & set(dir(settings))))
def test_a_secret_is_hidden(world: World, name: str) -> None:
    with override_settings(**{name: SECRET}):
        page = browser(Role.ADMINISTRATOR).get("/portal/hub/settings/").content.decode()
    assert SECRET not in page
    assert name in page


def test_addresses_of_webhooks_show_their_host_only(world: World) -> None:
    with override_settings(NOTIFICATION_WEBHOOKS=[f"https://alarms.example/{SECRET}"]):
        page = browser(Role.ADMINISTRATOR).get("/portal/hub/settings/").content.decode()
    assert SECRET not in page
    assert "https://alarms.example/…" in page


def test_the_page_has_every_setting_of_the_documentation_and_each_has_a_value() -> None:
    text = (Path(settings.BASE_DIR) / "docs" / "settings.md").read_text().split("\n## Development")[0]
    rows = re.findall(r"^\| ((?:`[A-Z_]+`(?:, )?)+) \|", text, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`([A-Z_]+)`", row)}
    shown = {name for _title, names in settings_in_force.SECTIONS for name in names}
    assert shown == documented
    for name in shown - settings_in_force.SECRETS:
        settings_in_force.value_of(name)
    # what looks like a secret is one
    assert {name for name in shown if re.search("SECRET|TOKEN|PASSWORD|_KEY\\b", name)} - settings_in_force.SECRETS <= {
        "TOKEN_ISSUER",
        "TOKEN_AUDIENCE",
        "TOKEN_LIFETIME_S",
    }
