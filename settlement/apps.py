from django.apps import AppConfig


class SettlementConfig(AppConfig):
    name = "settlement"

    def ready(self) -> None:
        from ledger import accounts_and_funds, invariants
        from settlement.invariants import INVARIANTS
        from settlement.queries import account_types_settled

        invariants.register(INVARIANTS)
        accounts_and_funds.also_open(account_types_settled)
