"""A party has one key however its identifier is spelt, and nobody can compute the key without the hub's secret."""

from django.test import override_settings

from rules.party_keys import dfsp_key, key_of, pair_key, transaction_key


def test_a_party_has_one_key_in_every_spelling() -> None:
    assert key_of("MSISDN", "+255712345678") == key_of("MSISDN", "255712345678")
    assert key_of("EMAIL", "Ann@Bank.Example") == key_of("EMAIL", "ann@bank.example")
    assert key_of("BUSINESS", "1", "payroll") == key_of("BUSINESS", "1", "PAYROLL")


def test_different_subjects_have_different_keys() -> None:
    keys = [
        key_of("MSISDN", "1"),
        key_of("DEVICE", "1"),
        key_of("MSISDN", "1", "2"),
        key_of("MSISDN", "12"),
        dfsp_key("1"),
        transaction_key("1"),
        pair_key(1, 2),
        pair_key(2, 1),
        pair_key(12, 0),
    ]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**63 for key in keys)


def test_a_key_depends_on_the_secret_of_the_hub() -> None:
    before = key_of("MSISDN", "255712345678")
    with override_settings(RULES_PARTY_KEY="another secret"):
        assert key_of("MSISDN", "255712345678") != before
    assert key_of("MSISDN", "255712345678") == before
