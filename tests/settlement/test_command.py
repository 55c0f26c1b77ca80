"""manage.py settle: the command for operators who do not use the API."""

import io

import pytest
from django.core.management import CommandError, call_command

from settlement.models import Settlement, WindowContent
from tests.settlement.operator_steps import add_model, close, pay, set_cap
from tests.world import World, amount


def settle(**options: object) -> str:
    said = io.StringIO()
    call_command("settle", stdout=said, **options)
    return said.getvalue()


def _windows() -> list[int]:
    return sorted(WindowContent.objects.values_list("window_id", flat=True))


@pytest.fixture
def closed(world: World) -> World:
    add_model(requireLiquidityCheck=True)
    pay(world, "green", "blue", 100)
    close()
    pay(world, "blue", "red", 10)
    close()
    return world


def test_all_that_waits_is_settled_in_two_calls(closed: World) -> None:
    said = settle(model="DEFERREDNET")
    settlement = Settlement.objects.get()
    assert settlement.state == "PS_TRANSFERS_COMMITTED"
    for name in ("green", "blue", "red"):
        assert name in said
        assert closed.position(name) == 0
    settle(id=settlement.pk, to="SETTLED")
    settle(id=settlement.pk, to="SETTLED")
    settlement.refresh_from_db()
    assert settlement.state == "SETTLED"
    with pytest.raises(CommandError, match="no closed window"):
        settle(model="DEFERREDNET")
    with pytest.raises(CommandError, match="State change not allowed"):
        settle(id=settlement.pk, to="ABORTED")
    assert closed.breaks() == []


def test_windows_are_settled_one_by_one_and_aborted(closed: World) -> None:
    first, second = _windows()
    settle(model="DEFERREDNET", window=[second], to="PS_TRANSFERS_RESERVED")
    assert closed.position("red") == 0
    settle(id=Settlement.objects.get().pk, to="ABORTED", reason="wrong window")
    assert closed.position("red") == -amount(10)
    settle(model="DEFERREDNET", window=[first])
    assert (closed.position("green"), closed.position("blue")) == (0, amount(10))
    assert closed.breaks() == []


def test_an_account_that_is_refused_is_named_and_the_command_fails(closed: World) -> None:
    set_cap(closed, "blue", 0)
    pay(closed, "green", "red", 1)
    said = io.StringIO()
    with pytest.raises(CommandError, match="continue with --id"):
        call_command("settle", model="DEFERREDNET", window=_windows()[:1], stdout=said)
    assert "raise the cap first" in " ".join(said.getvalue().replace("\u2502", " ").split())
    assert Settlement.objects.get().state == "PS_TRANSFERS_RECORDED"
    for to in ("ABORTED", "SETTLED"):
        with pytest.raises(CommandError, match="Settlement not found"):
            settle(id=10**6, to=to)
    assert closed.breaks() == []
