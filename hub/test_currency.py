"""The currency of test accounts (ISO 4217: "XTS", reserved for testing).

An entry has one currency (`an_account_has_one_currency`), so test money never becomes other money by a transfer. The
database refuses a settlement model, a settlement's content, a currency pair and a conversion in this currency.
"""

TEST_CURRENCY = "XTS"
