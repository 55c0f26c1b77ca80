"""The bank's web site: sessions, languages, security headers, forms and templates that all pages share.

The pages are plain HTML. JavaScript only updates the progress of a payment, filters lists and reads QR codes.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import jinja2
import structlog
from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from example_dfsp import localization, reasons
from example_dfsp.activity import initials
from example_dfsp.bank_application import Bank
from example_dfsp.customers import Customer
from example_dfsp.localization import LANGUAGES
from example_dfsp.sessions import Sessions, Who
from kitovu_connector import AmountError, parse_amount

log = structlog.get_logger(__name__)

MAX_FORM_BYTES = 3 * 1024 * 1024  # a CSV file of 10,000 lines is the largest form
HERE = Path(__file__).parent
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data: blob:;"
    " media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
    " manifest-src 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(self), geolocation=(), microphone=()",
}
# for an unknown character set, or for bytes or parts that aiohttp cannot read
_UNREADABLE = (ValueError, LookupError, RuntimeError, BadHttpMessage)
_SAFE = frozenset({"GET", "HEAD"})
_LANGUAGE_COOKIE = "language"
_YEAR_S = 365 * 86_400

LANGUAGE = web.RequestKey("language", str)
WHO: web.RequestKey[Who | None] = web.RequestKey("who", Who)  # type: ignore[arg-type]

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Wrong(Exception):
    """Raised if a form field has an invalid value. `field` is the field's name, and `text` explains to the user how to
    correct the value."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field, self.text = field, text


class Entries(dict[str, str]):
    """The values of a form's fields. A missing field has an empty text as its value."""

    def __missing__(self, name: str) -> str:
        return ""


class Site:
    """The sessions, templates, security checks and forms that all pages share."""

    def __init__(self, bank: Bank, *, hosts: frozenset[str] = frozenset()) -> None:
        self.bank = bank
        self.sessions = Sessions(bank.books, bank.customers)
        self._hosts = hosts | {"127.0.0.1", "localhost", "[::1]"}
        self._cookie = f"session_{bank.name}"  # browsers share cookies between the ports of a machine
        self._templates = {language: _templates(language) for language in LANGUAGES}

    def application(self) -> web.Application:
        """Returns an aiohttp application without pages. The caller adds the pages."""
        app = web.Application(middlewares=[self._guard, self._errors], client_max_size=MAX_FORM_BYTES)
        app.router.add_static("/static", HERE / "static", append_version=True)
        app.router.add_post("/language", self._set_language)
        return app

    # --- answers ------------------------------------------------------------------------------------------------------

    def page(self, request: web.Request, template: str, *, status: int = 200, **context: Any) -> web.Response:
        """Returns a page in the language of the request."""
        language = request[LANGUAGE]
        text = (
            self._templates[language]
            .get_template(template)
            .render(
                bank=self.bank.name,
                who=request[WHO],
                path=request.path,
                language=language,
                languages=LANGUAGES,
                money=lambda amount, currency: localization.money_shown(amount, currency, language),
                count=lambda count: localization.count_shown(count, language),
                amount=lambda amount: localization.amount_shown(amount, language),
                moment=localization.moment_shown,
                initials=initials,
                when=lambda timestamp: localization.when_shown(timestamp, time.time()),
                clock=localization.clock_shown,
                reason=lambda code, text="": reasons.reason(self.text(request), code, text),
                static=_static,
                now=time.time(),
                **context,
            )
        )
        return web.Response(text=text, content_type="text/html", charset="utf-8", status=status)

    def text(self, request: web.Request) -> Callable[[str], str]:
        """Returns the function that translates a text for this request."""
        return localization.catalogue(request[LANGUAGE]).gettext

    def go(self, path: str) -> web.HTTPException:
        """Returns the redirect that follows a submitted form."""
        return web.HTTPSeeOther(path)

    def sign_in(self, request: web.Request, who_id: str) -> NoReturn:
        """Starts a session."""
        token = self.sessions.begin(who_id)
        if token is None:
            raise web.HTTPNotFound
        response = web.HTTPSeeOther("/home")
        response.set_cookie(
            self._cookie, token, httponly=True, samesite="Lax", secure=request.secure, path="/", max_age=12 * 3600
        )
        raise response

    def sign_out(self, request: web.Request) -> NoReturn:
        """Ends the session."""
        self.sessions.end(request.cookies.get(self._cookie))
        response = web.HTTPSeeOther("/")
        response.del_cookie(self._cookie, path="/")
        raise response

    # --- the user, and the entries of forms ---------------------------------------------------------------------------

    def only(self, *roles: str) -> Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Handler]:
        """Returns a decorator that admits people with these roles, and sends all other people to the sign-in page."""

        def decorate(handler: Handler) -> Handler:
            async def admitted(request: web.Request) -> web.StreamResponse:
                who = request[WHO]
                if who is None:
                    raise web.HTTPSeeOther("/")
                if who.role not in roles:
                    raise web.HTTPForbidden
                return await handler(request)

            return admitted

        return decorate

    def customer(self, request: web.Request) -> Customer:
        """Returns the customer who is signed in."""
        who = request[WHO]
        if who is None:
            raise web.HTTPSeeOther("/")
        if who.customer is None:
            raise web.HTTPForbidden
        return who.customer

    async def posted(self, request: web.Request) -> Mapping[str, Any]:
        """Returns the fields of a form, also files. Refuses a form that no browser sends."""
        try:
            found = await request.post()
            for value in found.values():
                text = value.filename if isinstance(value, web.FileField) else value
                if isinstance(text, str):
                    text.encode()  # neither a page nor the database can hold half of a surrogate pair
        except _UNREADABLE:
            raise web.HTTPBadRequest from None
        return found

    async def form(self, request: web.Request) -> Entries:
        """Returns the texts in a form's fields, without leading and trailing spaces."""
        found = await self.posted(request)
        return Entries({name: value.strip()[:600] for name, value in found.items() if isinstance(value, str)})

    def amount(self, request: web.Request, form: dict[str, str], currency: str) -> int:
        """Returns the amount in a form, or raises Wrong. All currencies here have two decimals."""
        _ = self.text(request)
        entered = localization.amount_entered(form.get("amount", ""), request[LANGUAGE])
        if entered is None:
            raise Wrong("amount", _("Enter the amount in figures, for example 15000."))
        whole, decimals = entered
        if len(decimals) > 2:
            raise Wrong("amount", _("The amount can have at most two decimals."))
        try:
            found = parse_amount(f"{whole}.{decimals}" if decimals else whole)
        except AmountError:
            raise Wrong("amount", _("Enter the amount in figures, for example 15000.")) from None
        if found == 0:
            raise Wrong("amount", _("The amount must be above 0."))
        return found

    def number(self, request: web.Request, form: dict[str, str]) -> str:
        """Returns the phone number in a form, in the scheme's spelling, or raises Wrong."""
        _ = self.text(request)
        found = localization.number_entered(form.get("number", ""))
        if found is None:
            raise Wrong("number", _("Enter a phone number with its country code, for example 255655001001."))
        return found

    def other_number(self, request: web.Request, form: dict[str, str], own: str) -> str:
        """Returns the phone number in a form. Raises Wrong if the number is the customer's own."""
        found = self.number(request, form)
        if found == own:
            _ = self.text(request)
            raise Wrong("number", _("This is your own number. Enter the number of another person."))
        return found

    def note(self, form: dict[str, str]) -> str:
        """Returns the note in a form."""
        return "".join(character for character in form.get("note", "") if character.isprintable())[:120]

    # --- for each request ---------------------------------------------------------------------------------------------

    @web.middleware
    async def _guard(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuses requests for other hosts and requests from other sites, finds the user and the language, and adds the
        security headers.
        """
        host = request.headers.get("Host", "")
        try:
            is_own_host = urlsplit(f"//{host}").hostname in {name.strip("[]") for name in self._hosts}
            is_same_site = request.method in _SAFE or _is_same_site(request, host)
        except ValueError:
            raise web.HTTPBadRequest(text="The header Host or Origin cannot be read.") from None
        if not is_own_host:
            raise web.HTTPMisdirectedRequest(text="This bank does not answer for this host name. See --host.")
        if not is_same_site:
            raise web.HTTPForbidden(text="This request came from another site, so nothing was done.")
        request[LANGUAGE] = localization.chosen(
            request.cookies.get(_LANGUAGE_COOKIE), request.headers.get("Accept-Language", "")
        )
        request[WHO] = self.sessions.who(request.cookies.get(self._cookie))
        try:
            response = await handler(request)
        except web.HTTPException as redirect:
            redirect.headers.update(_HEADERS)
            raise
        response.headers.update(_HEADERS)
        if not request.path.startswith("/static"):
            response.headers["Cache-Control"] = "no-store"
        return response

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Shows a page after each error. The page explains to the user how to solve the problem."""
        try:
            return await handler(request)
        except web.HTTPException as error:
            if error.status < 400:
                raise
            return self.page(request, "error.html", status=error.status, code=error.status)
        except Exception:
            log.exception("page_failed", path=request.path)
            return self.page(request, "error.html", status=500, code=500)

    async def _set_language(self, request: web.Request) -> web.StreamResponse:
        # This line must come before the form is read: a request that was read cannot be copied.
        response = web.HTTPSeeOther(await _page_before(request))
        form = await self.form(request)
        wanted = form.get("language", "")
        if wanted in LANGUAGES:
            response.set_cookie(_LANGUAGE_COOKIE, wanted, max_age=_YEAR_S, samesite="Lax", path="/", httponly=True)
        raise response


async def _page_before(request: web.Request) -> str:
    """Returns the path and query of the page from which the browser sent a form.

    If a form has a wrong entry, the site shows the form again, at the path that received the form. A browser cannot
    open this path as a page. The page that contains the form is at one of the parent paths.
    """
    try:
        before = urlsplit(request.headers.get("Referer", ""))
    except ValueError:
        raise web.HTTPBadRequest from None
    path, query = before.path, f"?{before.query}" if before.query else ""
    while path.startswith("/") and not path.startswith("//"):
        found = await request.app.router.resolve(request.clone(method="GET", rel_url=path))
        if found.http_exception is None:
            return path + query
        path, query = path.rpartition("/")[0], ""
    return "/"


def _templates(language: str) -> jinja2.Environment:
    """Returns the templates in a language.

    Each language has its own template environment, because an environment can have only one language.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        extensions=["jinja2.ext.i18n"],
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.install_gettext_translations(localization.catalogue(language), newstyle=True)  # type: ignore[attr-defined]
    return environment


def _is_same_site(request: web.Request, host: str) -> bool:
    """Returns whether a page of this site sent the request.

    When a browser sends a form, the browser also names the web site of the page that contains the form.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        return False
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc == host


def _static(name: str) -> str:
    """Returns the URL of a file. The URL changes with the file's content, so browsers never show an old file."""
    return f"/static/{name}?v={int((HERE / 'static' / name).stat().st_mtime)}"
