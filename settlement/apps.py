from django.apps import AppConfig


class SettlementConfig(AppConfig):
    name = "settlement"

    def ready(self) -> None:
        from ledger import checks, services
        from settlement.checks import INVARIANTS
        from settlement.queries import account_types_settled

        checks.register(INVARIANTS)
        services.also_open(account_types_settled)
