"""The pages for every visitor: sign-in, sign-out, and the redirect to the visitor's own page."""

from aiohttp import web

from example_dfsp.sessions import STAFF
from example_dfsp.shared_by_pages import WHO, Site

_HOMES = {
    "person": "/wallet",
    "shop": "/till",
    "agent": "/agent",
    "employer": "/bulk",
    "government": "/bulk",
    "teller": "/teller",
    "treasurer": "/treasury",
}


class SignIn:
    """The sign-in page."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def add_to(self, app: web.Application) -> None:
        """Adds the pages to an aiohttp application."""
        app.router.add_get("/", self._show)
        app.router.add_post("/sign-in", self._sign_in)
        app.router.add_post("/sign-out", self._sign_out)
        app.router.add_get("/home", self._home)
        app.router.add_get("/health", self._health)

    async def _show(self, request: web.Request) -> web.StreamResponse:
        customers = self._site.bank.customers.all
        groups = {
            "person": [customer for customer in customers if customer.kind == "person"],
            "shop": [customer for customer in customers if customer.kind == "shop"],
            "agent": [customer for customer in customers if customer.kind == "agent"],
            "employer": [customer for customer in customers if customer.kind == "employer"],
            "government": [customer for customer in customers if customer.kind == "government"],
        }
        return self._site.page(request, "sign_in.html", groups=groups, staff=STAFF)

    async def _sign_in(self, request: web.Request) -> web.StreamResponse:
        form = await self._site.form(request)
        self._site.sign_in(request, form["who"])

    async def _sign_out(self, request: web.Request) -> web.StreamResponse:
        self._site.sign_out(request)

    async def _home(self, request: web.Request) -> web.StreamResponse:
        who = request[WHO]
        raise self._site.go("/" if who is None else _HOMES[who.role])

    async def _health(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "OK"})
