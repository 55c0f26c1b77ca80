from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from hub import metrics
        from hub.participants import queries as participants
        from ledger import limit_alarms, queries

        metrics.READERS.append(limit_alarms.show)
        participants.currencies_come_from(queries.CURRENCIES_OF_A_PARTICIPANT)
