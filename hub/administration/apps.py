from django.apps import AppConfig


class AdministrationConfig(AppConfig):
    name = "hub.administration"
    label = "administration"
