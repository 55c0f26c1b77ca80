"""Finds, for every gate, the lists, markers and kill switches that concern the parties of a payment.

Each process keeps copies of the lists, markers and kill switches. The copies are at most half a second old. So in most
cases, a group needs no SQL statement to find lists, markers and kill switches.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from rules.decide import Verdict
from rules.facts import Facts
from rules.language.refusal_codes import text_of
from rules.lists import dfsp_corridor_and_name_keys, kill_switches
from rules.lists import matches as lists_of
from rules.lists.kill_switches import Payment, Stopped
from rules.markers import matches as markers_of

_NONE: frozenset[str] = frozenset()
_CODES: Mapping[Stopped, str] = {
    Stopped.PAYER: "4540",
    Stopped.PAYEE: "5540",
    Stopped.DFSP: "3140",
    Stopped.CORRIDOR: "3140",
}


def begin_to_load() -> None:
    """At the start of a process, begins to read the copies in threads. Until a copy is complete, each group runs an SQL
    statement instead."""
    lists_of.begin_to_load()
    markers_of.begin_to_load()


def labelled(facts: Sequence[Facts], *, lists: bool, markers: bool) -> list[Facts]:
    """Adds the lists and the markers of the parties to these facts, and returns the result. Adds only the lists and
    markers that the rules need.

    An entry of a list is either a party's identifier, or a party's name together with the party's DFSP.
    """
    if not lists and not markers:
        return list(facts)
    parties = {key for each in facts for key in _keys_of(each)}
    on_lists: Mapping[int, frozenset[str]] = {}
    if lists:
        on_lists = lists_of.matches(parties | {key for each in facts for key in _served(each)})
    marked = markers_of.markers(parties) if markers else {}
    return [_with_labels(each, on_lists, marked) for each in facts]


def stopped(facts: Sequence[Facts]) -> list[Verdict | None]:
    """Returns a refusal for each payment that a kill switch stops."""
    found = kill_switches.stopped(
        Payment(each.payer_dfsp, each.payee_dfsp or "", each.payer, each.payee, each.payer_alias, each.payee_alias)
        for each in facts
    )
    return [None if what is None else _refusal(what) for what in found]


def _refusal(what: Stopped) -> Verdict:
    code = _CODES[what]
    return Verdict(outcome="REFUSE", code=code, text=text_of(code))


def _with_labels(facts: Facts, on_lists: Mapping[int, frozenset[str]], marked: Mapping[int, frozenset[str]]) -> Facts:
    payer, payee = facts.payer, facts.payee
    # A list can contain the identifier alone, or together with the sub-identifier.
    payer_lists = _lists_of(payer, facts.payer_dfsp, on_lists) | _lists_of(
        facts.payer_alias, facts.payer_dfsp, on_lists
    )
    payee_lists = _lists_of(payee, facts.payee_dfsp, on_lists) | _lists_of(
        facts.payee_alias, facts.payee_dfsp, on_lists
    )
    payer_markers = marked.get(payer or -1, _NONE) | marked.get(facts.payer_alias or -1, _NONE)
    payee_markers = marked.get(payee or -1, _NONE) | marked.get(facts.payee_alias or -1, _NONE)
    return replace(
        facts,
        payer_lists=payer_lists,
        payee_lists=payee_lists,
        payer_markers=payer_markers,
        payee_markers=payee_markers,
    )


def _lists_of(party: int | None, dfsp: str | None, on_lists: Mapping[int, frozenset[str]]) -> frozenset[str]:
    if party is None or not on_lists:
        return _NONE
    found = on_lists.get(party, _NONE)
    return found if dfsp is None else found | on_lists.get(dfsp_corridor_and_name_keys.served(party, dfsp), _NONE)


def _keys_of(facts: Facts) -> list[int]:
    keys = (facts.payer, facts.payer_alias, facts.payee, facts.payee_alias)
    return [key for key in keys if key is not None]


def _served(facts: Facts) -> list[int]:
    found = [
        dfsp_corridor_and_name_keys.served(key, facts.payer_dfsp)
        for key in {facts.payer, facts.payer_alias}
        if key is not None
    ]
    if facts.payee_dfsp is not None:
        found += [
            dfsp_corridor_and_name_keys.served(key, facts.payee_dfsp)
            for key in {facts.payee, facts.payee_alias}
            if key is not None
        ]
    return found
