"""Django's admin: every table is there to look into, and none can be changed, whoever asks."""

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import models
from django.test import Client
from django.urls import reverse

from tests.factories import UserFactory
from tests.portal.people import browser_of, person
from tests.settlement.operator_steps import pay
from tests.world import World

OURS = (
    "sweeps",
    "participants",
    "audit",
    "notifications",
    "outbox",
    "directory",
    "quotes",
    "ledger",
    "settlement",
    "portal",
)
MODELS = [model for app in OURS for model in apps.get_app_config(app).get_models()]
# Looked at on the page of what they belong to; or a line between two tables.
WITHIN = {"Endpoint", "TransferEvent", "FxTransferEvent", "SettlementAccount", "SettlementEvent", "StatementLine"} | {
    "ContentTotal",
    "Inclusion",
}
NAMES = [pytest.param(model, id=model._meta.label) for model in MODELS if model.__name__ not in WITHIN]


@pytest.fixture
def root(world: World) -> Client:
    pay(world, "green", "blue", 1)
    return browser_of(UserFactory.create(username="root", is_root=True))


def url_of(model: type[models.Model], what: str, *arguments: object) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{what}", args=arguments)


def test_what_is_shown_within_another_has_that_page() -> None:
    inlines = {inline.model.__name__ for site in admin.site._registry.values() for inline in site.inlines}
    assert inlines >= WITHIN


@pytest.mark.parametrize("model", NAMES)
def test_a_table_is_there_for_who_may_look_and_changed_by_nobody(root: Client, model: type[models.Model]) -> None:
    assert admin.site.is_registered(model)
    assert root.get(url_of(model, "changelist")).status_code == 200
    row = model._default_manager.first()
    count = model._default_manager.count()
    key = "1" if row is None else row.pk
    if row is not None:
        assert root.get(url_of(model, "change", key)).status_code == 200
    sent = {"state": "COMMITTED", "amount": "1", "is_active": "", "post": "yes", "action": "delete_selected"}
    for url in (
        url_of(model, "add"),
        url_of(model, "change", key),
        url_of(model, "delete", key),
        url_of(model, "changelist"),
    ):
        for method in ("post", "put", "patch", "delete"):
            answer = getattr(root, method)(url, {**sent, "_selected_action": str(key)})
            assert answer.status_code in (302, 403, 404, 405), (method, url)
    assert model._default_manager.count() == count
    if row is not None:
        kept = model._default_manager.get(pk=key)
        for field in model._meta.concrete_fields:
            assert getattr(kept, field.attname) == getattr(row, field.attname), field


@pytest.mark.parametrize("model", NAMES)
def test_a_table_is_not_there_for_others(world: World, model: type[models.Model]) -> None:
    plain = browser_of(person(None))
    half = browser_of(UserFactory.create(username="root", is_root=True), has_second_factor=False)
    for client in (plain, half):  # they are told so; the sign-in would only send them back
        assert client.get(url_of(model, "changelist")).status_code == 403
    assert Client().get(url_of(model, "changelist")).status_code == 302
