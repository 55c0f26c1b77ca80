from django.apps import AppConfig


class SettlementConfig(AppConfig):
    name = "settlement"

    def ready(self) -> None:
        from ledger import invariants, services
        from settlement.invariants import INVARIANTS
        from settlement.queries import account_types_settled

        invariants.register(INVARIANTS)
        services.also_open(account_types_settled)
