from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "rules.profiles"
    label = "rules_profiles"

    def ready(self) -> None:
        from rules.profiles import payment_counts_for_signals
        from rules.signals import payee_counters

        payee_counters.payments_come_from(payment_counts_for_signals.of_party)
