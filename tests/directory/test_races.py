"""The hub's own oracle under races with real commits, and against a small model."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from directory import alias_registry
from directory.aliases import Alias, Registration, fitting
from directory.models import PartyIdentifier
from fspiop.errors import FspiopError
from hub.participants.models import Participant
from tests.concurrency.together import together
from tests.examples import examples
from tests.world import World


def fsp(name: str) -> Participant:
    return Participant.objects.get(name=name)


def outcome(work: Callable[..., None], alias: Alias, dfsp: Participant) -> str:
    """What came of it: "done", or the code of the refusal."""
    try:
        work(alias, dfsp)
    except FspiopError as error:
        return error.code
    return "done"


def test_of_two_dfsps_that_register_an_alias_at_once_one_gets_it(committed_world: World) -> None:
    dfsps = [fsp("green"), fsp("blue")] * 10
    for number in range(5):
        alias = Alias("MSISDN", str(number))
        results = together([partial(outcome, alias_registry.register, alias, dfsp) for dfsp in dfsps])
        owner = PartyIdentifier.objects.get(identifier=str(number)).fsp
        assert results == ["done" if dfsp == owner else "3003" for dfsp in dfsps]


def test_batches_with_the_same_aliases_in_other_orders_neither_deadlock_nor_share_one(committed_world: World) -> None:
    aliases = [Alias("ALIAS", f"a{number}", currency="TZS") for number in range(400)]
    dfsps = [fsp("green"), fsp("blue"), fsp("red")] * 3
    orders = [aliases, aliases[::-1], aliases[200:] + aliases[:200]] * 3
    results = together(
        [partial(alias_registry.register_many, order, dfsp) for dfsp, order in zip(dfsps, orders, strict=True)]
    )
    owners = dict(PartyIdentifier.objects.values_list("identifier", "fsp_id"))
    assert len(owners) == 400
    for dfsp, refused in zip(dfsps, results, strict=True):
        assert not isinstance(refused, BaseException), refused
        assert {alias.identifier for alias in refused} == {key for key, holder in owners.items() if holder != dfsp.pk}


def test_withdrawing_while_another_registers_leaves_one_owner_or_none(committed_world: World) -> None:
    alias = Alias("MSISDN", "1")
    for _ in range(10):
        PartyIdentifier.objects.all().delete()
        alias_registry.register(alias, fsp("green"))
        results = together(
            [
                partial(outcome, alias_registry.withdraw, alias, fsp("green")),
                partial(outcome, alias_registry.register, alias, fsp("blue")),
            ]
        )
        assert results in (["done", "done"], ["done", "3003"])
        assert set(PartyIdentifier.objects.values_list("fsp__name", flat=True)) <= {"blue"}


_NAMES = st.sampled_from(["green", "blue", "red"])
_ALIASES = st.builds(
    Alias,
    type=st.sampled_from(["MSISDN", "ALIAS"]),
    identifier=st.sampled_from(["1", "+1", "2"]),
    sub_id=st.sampled_from(["", "home"]),
    currency=st.sampled_from(["", "TZS", "KES"]),
)
_STEPS = st.lists(st.tuples(st.sampled_from(["register", "withdraw", "batch"]), _NAMES, _ALIASES), max_size=12)


def _holder(model: dict[tuple[str, str, str, str], str], key: tuple[str, str, str, str], name: str) -> str:
    """Who has it, after `name` registers it: in its currency, or in all, or else `name` from now on."""
    if key not in model and model.get((*key[:3], ""), name) != name:
        return model[*key[:3], ""]
    return model.setdefault(key, name)


@settings(max_examples=examples(40), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=_STEPS, asked=_ALIASES)
def test_whatever_dfsps_do_an_alias_belongs_to_who_registered_it_first(
    world: World, steps: list[tuple[str, str, Alias]], asked: Alias
) -> None:
    PartyIdentifier.objects.all().delete()
    model: dict[tuple[str, str, str, str], str] = {}  # in order of registration
    for step, name, alias in steps:
        key = alias.identity
        if step == "withdraw":
            own = [
                held
                for held, holder in model.items()
                if holder == name and held[:3] == key[:3] and alias.currency in ("", held[3])
            ]
            if own:
                alias_registry.withdraw(alias, fsp(name))
            else:
                with pytest.raises(FspiopError):
                    alias_registry.withdraw(alias, fsp(name))
            for held in own:
                del model[held]
        elif step == "batch":
            refused = alias_registry.register_many([alias], fsp(name))
            assert bool(refused) == (_holder(model, key, name) != name)
        elif _holder(model, key, name) == name:
            alias_registry.register(alias, fsp(name))
        else:
            with pytest.raises(FspiopError):
                alias_registry.register(alias, fsp(name))
    rows = PartyIdentifier.objects.values_list("type", "identifier", "sub_id", "currency", "fsp__name")
    assert {row[:4]: row[4] for row in rows} == model
    lines = [
        Registration(holder, held[3], held[2]) for held, holder in model.items() if held[:2] == (asked.type, asked.key)
    ]
    expected = fitting(lines, asked)
    if expected:
        assert alias_registry.owner_of(asked, caller=0).name == expected[0].fsp
    else:
        with pytest.raises(FspiopError):
            alias_registry.owner_of(asked, caller=0)


@given(
    lines=st.lists(
        st.builds(
            Registration,
            fsp=_NAMES,
            currency=st.sampled_from(["", "TZS", "KES"]),
            sub_id=st.sampled_from(["", "home"]),
        )
    ),
    asked=_ALIASES,
)
def test_only_lines_of_the_sub_id_and_currency_that_were_asked_for_answer(
    lines: list[Registration], asked: Alias
) -> None:
    found = fitting(lines, asked)
    assert {line.sub_id for line in found} <= {asked.sub_id}
    if asked.currency:
        assert {line.currency for line in found} <= {"", asked.currency}
        currencies = [line.currency for line in found]
        assert currencies == sorted(currencies, reverse=True)  # the exact one before the one of all currencies
    else:
        assert found == [line for line in lines if line.sub_id == asked.sub_id]
