from django.apps import AppConfig


class ProfilesConfig(AppConfig):
    name = "rules.profiles"
    label = "rules_profiles"
