from django.apps import AppConfig


class QuotesConfig(AppConfig):
    name = "quotes"

    def ready(self) -> None:
        from hub import agreement_engine
        from quotes import services
        from quotes.commands_and_facts import AskTerms, GiveTerms

        agreement_engine.register(services.run, AskTerms, GiveTerms)
