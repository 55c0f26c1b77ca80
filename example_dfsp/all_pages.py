"""The bank's whole web site: every page, in one aiohttp application for browsers."""

from aiohttp import web

from example_dfsp.bank_application import Bank
from example_dfsp.pages.agent import Agent
from example_dfsp.pages.bulk import Bulk
from example_dfsp.pages.requesting import Requesting
from example_dfsp.pages.sign_in import SignIn
from example_dfsp.pages.teller import Teller
from example_dfsp.pages.till import Till
from example_dfsp.pages.treasury import Treasury
from example_dfsp.pages.wallet import Wallet
from example_dfsp.shared_by_pages import Site


def web_site(bank: Bank, hosts: frozenset[str] = frozenset()) -> web.Application:
    """Returns the application of the web site. The bank's other application (`Bank.application`) must also run, because
    the other application opens the connections to the connector."""
    site = Site(bank, hosts=hosts)
    app = site.application()
    wallet = Wallet(site)
    requesting = Requesting(site, wallet)
    of_shops_and_agents = (Till(site, wallet, requesting), Agent(site, wallet, requesting))
    for part in (SignIn(site), wallet, requesting, *of_shops_and_agents, Bulk(site), Teller(site), Treasury(site)):
        part.add_to(app)
    return app
