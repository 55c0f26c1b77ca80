from django.apps import AppConfig


class OutboxConfig(AppConfig):
    name = "hub.outbox"
    label = "outbox"

    def ready(self) -> None:
        from hub import metrics
        from hub.outbox.metrics import show

        metrics.READERS.append(show)
