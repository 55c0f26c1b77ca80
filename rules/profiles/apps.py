from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "rules.profiles"
    label = "rules_profiles"

    def ready(self) -> None:
        from rules.profiles import payment_counts
        from rules.signals import counters

        counters.payments_come_from(payment_counts.of_party)
