from django.apps import AppConfig


class SettlementConfig(AppConfig):
    name = "settlement"

    def ready(self) -> None:
        from ledger import accounts_and_funds, invariants
        from settlement.invariants import INVARIANTS
        from settlement.queries import account_types_settled
        from settlement.services.bank_payments import settlement_of

        invariants.register(INVARIANTS)
        accounts_and_funds.also_open(account_types_settled)
        accounts_and_funds.record_payments_once(settlement_of)
