from django.apps import AppConfig


class LedgerConfig(AppConfig):
    name = "ledger"

    def ready(self) -> None:
        from hub import metrics
        from ledger import alarms

        metrics.READERS.append(alarms.show)
