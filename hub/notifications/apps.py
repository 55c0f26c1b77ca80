from django.apps import AppConfig


class NotificationsConfig(AppConfig):
    name = "hub.notifications"
    label = "notifications"

    def ready(self) -> None:
        from hub import metrics
        from hub.notifications import queries

        metrics.READERS.append(queries.show)
