from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from hub import metrics
        from hub.participants import queries as participants
        from ledger import limit_alarms, queries, rules_gate
        from rules import originals

        metrics.READERS.append(limit_alarms.show)
        originals.come_from(rules_gate.originals)
        participants.currencies_come_from(queries.CURRENCIES_OF_A_PARTICIPANT)
