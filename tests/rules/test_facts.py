"""Facts are stored beside the quote and read again, also by later versions of the hub."""

import msgspec
import pytest

from rules.facts import Facts, digest, from_bytes, to_bytes
from tests.rules.documents import facts

FULL = facts(
    present=frozenset({"note", "geoCode", "fees"}),
    extensions={"B": "2", "A": "1"},
    payee_lists=frozenset({"a", "b"}),
    refund_of="x",
)


def test_stored_facts_are_read_as_they_were() -> None:
    assert from_bytes(to_bytes(FULL)) == FULL


def test_equal_facts_have_equal_digests_and_others_do_not() -> None:
    same = facts(
        present=frozenset({"fees", "geoCode", "note"}),
        extensions={"A": "1", "B": "2"},
        payee_lists=frozenset({"b", "a"}),
        refund_of="x",
    )
    assert (same, digest(same)) == (FULL, digest(FULL))
    others = [
        msgspec.structs.replace(FULL, **{name: value}) for name, value in [("amount", 1), ("payer", 9), ("fx", True)]
    ]
    assert len({digest(each) for each in (FULL, *others)}) == 4


def test_facts_with_fewer_fields_are_read_with_defaults() -> None:
    stored = msgspec.msgpack.decode(to_bytes(FULL))
    assert stored[:3] == ["quote", stored[1], "green"]
    assert from_bytes(msgspec.msgpack.encode(stored[:-2])) == FULL
    assert from_bytes(msgspec.msgpack.encode([*stored, "of a later version"])) == FULL


def test_the_order_of_stored_fields_never_changes() -> None:
    # Stored facts are arrays. Fields are added at the end only.
    assert " ".join(Facts.__struct_fields__) == (
        "gate now payer_dfsp payee_dfsp currency amount has_details quoted payer payee payee_alias payer_id_type "
        "payee_id_type scenario sub_scenario initiator initiator_type payer_type refund_of merchant_code kyc_tier "
        "expires_in_s present extensions quoted_amount quoted_currency payer_lists payee_lists payer_markers "
        "payee_markers bulk fx counters payer_alias is_judged_again original "
        "original_transaction"
    )


def test_what_are_no_facts_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError):
        from_bytes(msgspec.msgpack.encode(["settlement"]))
