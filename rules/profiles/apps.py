from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "rules.profiles"
    label = "rules_profiles"

    def ready(self) -> None:
        from rules.profiles import signals
        from rules.signals import counters

        counters.payments_come_from(signals.of_party)
