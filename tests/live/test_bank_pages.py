"""A person's walk through the demo's two banks: each role's pages and each kind of payment, in Chromium, on one hub."""

import io
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from example_dfsp.customers import read_customers
from example_dfsp.emv_codes import PaymentCode, written
from example_dfsp.pages.wallet import code_of
from example_dfsp.payment_lists import example
from example_dfsp.qr_pictures import svg_of
from hub.local.demo import add_fxp
from hub.local.demo.banks import Bank
from hub.local.demo.compare import books_of
from hub.local.stack import Stack
from tests.example_dfsp.test_emv_codes import pixels_of

pytestmark = pytest.mark.live

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ARGUMENTS = ["--no-sandbox", "--disable-gpu"]
SCREENSHOTS = os.environ.get("SCREENSHOTS")
GRACE, SHOP, AGENT, EMPLOYER = "255712001001", "255712003001", "255712004001", "255712005001"
OFFICE = "255712006001"
IDRISI, WANJIKU, CLOSED, NOBODY = "255655001001", "254722001001", "255655002001", "255699999999"
SIZES = {"phone": (390, 844), "wide": (1440, 900)}
# The texts of which a part is hidden: to the right in a table, or between two tabs that overlap.
CUT = """() => [
  ...[...document.querySelectorAll(".scroll, .line small, .chips")].filter((e) => e.scrollWidth > e.clientWidth + 1),
  ...[...document.querySelectorAll(".bar span")].filter((e) => e.offsetWidth > e.closest("li").clientWidth),
].map((e) => e.textContent.trim().slice(0, 80))"""


class Window:
    """One person's browser. What its console said is kept, and must have been nothing."""

    def __init__(self, browser: Any, bank: Bank, who: str, size: str = "phone", theme: str = "light") -> None:
        width, height = SIZES[size]
        self._look = f"{size}-{theme}"
        context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme, locale="en-GB")
        self.page, self.bank, self.complaints = context.new_page(), bank, []
        self.page.set_default_timeout(20_000)
        self.page.on("console", lambda said: said.type in ("error", "warning") and self._complain(said.text))
        self.page.on("pageerror", lambda error: self._complain(str(error)))
        self.go("/")
        if who:
            button = self.page.locator(f'button[value="{who}"]')
            button.evaluate("button => button.closest('details')?.setAttribute('open', '')")
            button.click()

    def _complain(self, text: str) -> None:
        if not re.search("status of (403|404|422)", text):  # Chromium reports an error page, and a wrong entry
            self.complaints.append(text)

    def go(self, path: str) -> None:
        self.page.goto(self.bank.web_url + path)

    def enter(self, button: str, **entries: str) -> None:
        """Fills a form and sends it."""
        for name, value in entries.items():
            self.page.fill(f"#{name.replace('_', '-')}", value)
        self.page.get_by_role("button", name=re.compile(button)).first.click()

    def sees(self, text: str) -> None:
        """Waits for a heading."""
        self.page.get_by_role("heading", name=re.compile(text)).first.wait_for()

    def confirms(self) -> None:
        self.sees("Is this right")
        self.picture("confirm")
        self.page.get_by_role("button", name="Confirm and pay").click()

    def picture(self, name: str) -> None:
        """Checks that the page is for everybody, and how it looks. Leaves a picture where SCREENSHOTS says."""
        page = self.page
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide == 0, f"{name}: {wide} pixels wider than the window"
        assert page.evaluate(CUT) == [], name
        assert self.faults_for_who_cannot_see() == [], name
        if SCREENSHOTS:
            page.screenshot(path=Path(SCREENSHOTS) / f"{name}-{self._look}.png", full_page=True)

    def faults_for_who_cannot_see(self) -> list[str]:
        from axe_playwright_python.sync_playwright import Axe

        found = Axe().run(self.page).response["violations"]
        serious = [each for each in found if each["impact"] in ("serious", "critical")]
        return [f"{self.page.url} {each['id']}: {each['nodes'][0]['html'][:160]}" for each in serious]


@pytest.fixture(scope="module")
def playwright() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("no Chromium on the PATH: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as found:
        yield found


@pytest.fixture(scope="module")
def chromium(playwright: Any) -> Iterator[Any]:
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
    yield browser
    browser.close()


@pytest.fixture(scope="module", autouse=True)
def fxp(stack: Stack, banks: list[Bank]) -> None:
    add_fxp(stack, tell=lambda _: None)


@pytest.fixture
def windows(chromium: Any) -> Iterator[Any]:
    opened: list[Window] = []

    def open_(*arguments: Any, **more: Any) -> Window:
        opened.append(Window(chromium, *arguments, **more))
        return opened[-1]

    yield open_
    complaints = [complaint for window in opened for complaint in window.complaints]
    for window in opened:
        window.page.context.close()
    assert complaints == []


def balances(bank: Bank) -> dict[str, int]:
    """The bank's balances, in whole units. Its books must have no fault."""
    books = books_of(bank)
    assert books["faults"] == []
    return {name: balance // 10_000 for name, balance in books["balances"].items()}


def changed(before: dict[str, int], bank: Bank, *names: str) -> list[int]:
    """How much these balances changed, once nothing is held."""
    end = time.monotonic() + 15
    while (now := balances(bank))["held"] and time.monotonic() < end:
        time.sleep(0.2)
    return [now.get(name, 0) - before.get(name, 0) for name in names]


def test_money_is_sent_with_name_and_fee_confirmed(banks: list[Bank], windows: Any) -> None:
    green, blue = banks
    before, theirs = balances(green), balances(blue)
    grace = windows(green, "")
    grace.picture("sign-in")
    nobody = grace.page.get_by_text("Nobody at this bank has this name")
    grace.page.fill("#filter", "nobody of this name")
    assert nobody.is_visible()
    grace.page.fill("#filter", "grace")
    assert not nobody.is_visible()
    grace.page.click(f'button[value="{GRACE}"]')  # click 1
    grace.page.click(".actions >> text=Send")  # click 2
    grace.enter("Continue", number=IDRISI, amount="15,000", note="lunch")  # click 3
    grace.confirms()  # click 4
    grace.sees("^Paid")
    grace.picture("receipt")
    assert "Idrisi Msuya" in grace.page.inner_text("main")
    assert "15,075 TZS" in grace.page.inner_text("main").replace("\xa0", " ")
    grace.page.emulate_media(media="print", color_scheme="dark")
    card = grace.page.locator(".card").first
    assert card.evaluate("card => getComputedStyle(card).backgroundColor") == "rgb(255, 255, 255)"
    assert grace.page.locator(".brand").is_visible()
    grace.page.emulate_media(media="screen", color_scheme="light")
    assert changed(before, green, GRACE, "fees") == [-15_075, 75]
    assert changed(theirs, blue, IDRISI) == [15_000]
    grace.go("/history")
    assert "Idrisi Msuya" in grace.page.inner_text("main")
    idrisi = windows(blue, IDRISI, theme="dark")
    idrisi.page.click("text=Grace Lyimo")
    idrisi.sees("Received")
    idrisi.picture("received")


def test_a_payment_that_cannot_be_made_says_why_and_costs_nothing(banks: list[Bank], windows: Any) -> None:
    green, _ = banks
    before = balances(green)
    grace = windows(green, GRACE, theme="dark")
    for number, reason in ((NOBODY, "Nobody has this number"), (CLOSED, "takes no payments")):
        grace.go("/send")
        grace.enter("Continue", number=number, amount="1500")
        if number == CLOSED:
            grace.confirms()
        grace.sees("Not paid")
        assert reason in grace.page.inner_text("main")
    grace.picture("not-paid")
    grace.go("/send")
    grace.enter("Continue", number=IDRISI, amount="9,000,000")
    assert "too low" in grace.page.inner_text("#amount-wrong")
    assert changed(before, green, GRACE) == [0]


def test_a_request_is_approved_with_a_one_time_code(banks: list[Bank], windows: Any) -> None:
    green, blue = banks
    before = balances(green)
    grace, idrisi = windows(green, GRACE), windows(blue, IDRISI)
    for answer, end in (("Confirm and pay", "^Paid"), ("Reject", "^Rejected")):
        grace.go("/request")
        grace.enter("Send request", number=IDRISI, amount="2500", note="taxi")
        grace.sees("Waiting for approval")
        grace.picture("asked")
        idrisi.go("/wallet")
        idrisi.picture("wallet-with-request")
        idrisi.page.click("text=Grace Lyimo >> nth=0")
        idrisi.enter("Review")
        idrisi.sees("Is this right")
        if answer == "Reject":
            idrisi.page.get_by_role("button", name=answer).click()
        else:
            code = re.search(r"code is (\d{6})", idrisi.page.inner_text(".message"))
            assert code is not None
            idrisi.enter(answer, code="000000")
            assert "not the code" in idrisi.page.inner_text("#code-wrong")
            idrisi.picture("approve")
            idrisi.enter(answer, code=code[1])
            idrisi.sees("^Paid")
        grace.sees(end)
    assert changed(before, green, GRACE) == [2500]


def test_a_shops_code_is_scanned_paid_and_refunded(banks: list[Bank], windows: Any, tmp_path: Path) -> None:
    green, blue = banks
    before, theirs = balances(green), balances(blue)
    shop, idrisi = windows(green, SHOP, size="wide"), windows(blue, IDRISI)
    shop.enter("Show code", amount="4500")
    shop.sees("To pay")
    shop.page.click("summary")
    shop.picture("sale")
    shop.page.locator(".qr").screenshot(path=tmp_path / "code.png")
    idrisi.go("/scan")
    idrisi.picture("scan")
    idrisi.page.set_input_files("#picture", str(tmp_path / "code.png"))
    idrisi.confirms()
    idrisi.sees("^Paid")
    shop.sees("^Paid")  # by itself
    assert changed(before, green, SHOP) == [4478]  # the bank keeps 22
    shop.page.click("main >> text=Receipt")
    shop.page.click("main >> text=Refund")
    shop.picture("refund")
    shop.enter("Refund", amount="5000")
    assert "cannot be above the sale" in shop.page.inner_text("#amount-wrong")
    shop.enter("Refund", amount="1000")
    shop.confirms()
    shop.sees("^Paid")
    assert changed(before, green, SHOP) == [3478]
    assert changed(theirs, blue, IDRISI) == [-3500]
    shop.go("/till")
    shop.picture("till")


def film_of(code: str, path: Path) -> None:
    """A film of one frame, in which a QR code is before the camera."""
    pixels, side = pixels_of(svg_of(code), 6)
    width, height = 640, 480
    left, top = (width - side) // 2, (height - side) // 2
    grey = bytearray(b"\xb4" * (width * height))
    for row in range(side):
        place = (top + row) * width + left
        grey[place : place + side] = pixels[row * side : (row + 1) * side]
    colours = b"\x80" * (width * height // 2)
    path.write_bytes(b"YUV4MPEG2 W%d H%d F5:1 Ip A1:1 C420\nFRAME\n" % (width, height) + bytes(grey) + colours)


def test_a_code_is_scanned_with_the_camera(banks: list[Bank], playwright: Any, tmp_path: Path) -> None:
    green, _ = banks
    code = PaymentCode(
        id_type="BUSINESS", id_value="700101", name="Soko Fresh Market", city="Dar es Salaam", currency="TZS"
    )
    film_of(written(code), tmp_path / "code.y4m")
    camera = ["--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"]
    camera.append(f"--use-file-for-fake-video-capture={tmp_path / 'code.y4m'}")
    browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*ARGUMENTS, *camera])
    try:
        grace = Window(browser, green, GRACE)
        grace.go("/scan")
        grace.enter("Use the camera")
        grace.sees("Pay Soko Fresh Market")
        assert grace.complaints == []
    finally:
        browser.close()


def test_an_agent_takes_and_gives_cash(banks: list[Bank], windows: Any) -> None:
    green, blue = banks
    before, theirs = balances(green), balances(blue)
    agent, idrisi = windows(green, AGENT, size="wide"), windows(blue, IDRISI, theme="dark")
    agent.picture("agent")
    form = agent.page.locator("form[action='/agent/cash-in']")
    form.locator("#in-number").fill(IDRISI)
    form.locator("#in-amount").fill("30000")
    form.get_by_role("button").click()
    agent.confirms()
    agent.sees("^Paid")
    agent.go("/agent")
    form = agent.page.locator("form[action='/agent/cash-out']")
    form.locator("#out-number").fill(IDRISI)
    form.locator("#out-amount").fill("20000")
    form.get_by_role("button").click()
    agent.page.wait_for_selector("#code")
    idrisi.go("/wallet")
    idrisi.page.click("text=Wakala Ngowi >> nth=0")
    idrisi.enter("Review")
    idrisi.confirms()
    code = idrisi.page.inner_text(".secret").replace(" ", "")
    idrisi.picture("code-for-agent")
    agent.enter("Enter code", code=code)
    agent.sees("^Paid")
    agent.picture("give-cash")
    idrisi.sees("^Paid")
    assert changed(before, green, AGENT) == [-10_000]
    assert changed(theirs, blue, IDRISI) == [10_000 - 200]  # the fee of a cash-out


def test_money_arrives_in_another_currency(banks: list[Bank], windows: Any) -> None:
    green, blue = banks
    before, theirs = balances(green), balances(blue)
    grace = windows(green, GRACE, size="wide", theme="dark")
    grace.go("/send")
    grace.enter("Continue", number=WANJIKU, amount="20000")
    grace.sees("Is this right")
    assert "1,020 KES" in grace.page.inner_text("main").replace("\xa0", " ")
    grace.confirms()
    grace.sees("^Paid")
    assert changed(before, green, GRACE, "scheme") == [-20_100, 20_000]
    assert changed(theirs, blue, WANJIKU, "scheme KES") == [1020, -1020]


def test_a_sale_that_was_converted_is_refunded(banks: list[Bank], windows: Any) -> None:
    green, blue = banks
    before, theirs = balances(green), balances(blue)
    shop, wanjiku = windows(green, SHOP), windows(blue, WANJIKU)
    (customer,) = [found for found in read_customers() if found.msisdn == SHOP]
    wanjiku.go("/scan")
    wanjiku.enter("Continue", text=written(code_of(customer)))
    wanjiku.enter("Continue", amount="100")
    wanjiku.confirms()
    wanjiku.sees("^Paid")
    assert changed(before, green, SHOP) == [1900 - 9]
    shop.go("/till")
    shop.page.click("main >> text=Wanjiku Kamau >> nth=0")
    shop.page.click("main >> text=Refund")
    shop.enter("Refund", amount="1000")
    shop.sees("Is this right")
    assert "51 KES" in shop.page.inner_text("main").replace("\xa0", " ")
    shop.confirms()
    shop.sees("^Paid")
    assert changed(before, green, SHOP) == [900 - 9]
    assert changed(theirs, blue, WANJIKU) == [-100 + 51]


def test_a_government_office_pays_benefits_and_pays_nobody_twice(banks: list[Bank], windows: Any) -> None:
    green, blue = banks
    before, theirs = balances(green), balances(blue)
    office, idrisi = windows(green, OFFICE), windows(blue, IDRISI)
    text = f"id,to,amount,currency,note\nB-1,{IDRISI},7000,TZS,November\nB-2,{WANJIKU},20000,TZS,November\n"
    more = text + f"B-3,{CLOSED},5000,TZS,November\n"
    for number, lines in enumerate((text, more)):
        office.go("/bulk")
        office.page.set_input_files("#file", {"name": "benefits.csv", "mimeType": "text/csv", "buffer": lines.encode()})
        office.enter("Check file")
        office.sees("The file is in order")
        office.picture(f"list-checked-{number}")
        office.enter("^Pay only the others: 5,000" if number else "^Pay 27,000")
        office.sees("^Done")
        office.picture(f"list-of-benefits-{number}")
    assert changed(before, green, OFFICE) == [-27_000]
    assert changed(theirs, blue, IDRISI, WANJIKU) == [7000, 1020]
    idrisi.go("/history")
    assert "Benefit" in idrisi.page.inner_text("main")
    idrisi.page.click("text=Kijani District Council >> nth=0")
    idrisi.sees("Received")
    idrisi.picture("benefit")


def test_an_error_says_what_to_do(banks: list[Bank], windows: Any) -> None:
    grace = windows(banks[0], GRACE)
    for path, text in (("/nothing", "There is no such page"), ("/till", "This page is for another role")):
        grace.go(path)
        grace.sees(text)
        grace.picture("error" + path.replace("/", "-"))


def test_a_list_of_salaries_is_paid_and_has_results(banks: list[Bank], windows: Any) -> None:
    green, _ = banks
    before = balances(green)
    office = windows(green, EMPLOYER, size="wide")
    good = example([(IDRISI, "Idrisi Msuya"), ("255655001002", "Petro Temu")], "TZS", 20, "NOVEMBER")
    more = f"X-1,{CLOSED},closed,1500,TZS,\nX-2,{NOBODY},nobody,1500,TZS,\n"
    for text in (good + "X-1,nobody,,1,TZS,\n", good + more):
        office.page.set_input_files("#file", {"name": "november.csv", "mimeType": "text/csv", "buffer": text.encode()})
        assert office.page.inner_text("#file-name") == "november.csv"
        office.enter("Check file")
        if "nobody,,1" in text:
            assert "Line 22" in office.page.inner_text("[role=alert]")
            assert "No file is chosen yet" in office.page.inner_text("#file-name")
    office.sees("The file is in order")
    office.enter("^Pay ")
    office.sees("^Done")
    office.picture("list-paid")
    assert "20 of 22 payments are made" in office.page.inner_text("main")
    with office.page.expect_download() as download:
        office.page.click("text=Download results")
    results = io.StringIO(Path(download.value.path()).read_text())
    states = [line.split(",")[7] for line in results][1:]
    assert (states.count("PAID"), states.count("NOT_PAID")) == (20, 2)
    total = sum(int(line.split(",")[3]) for line in good.splitlines()[1:])
    assert changed(before, green, EMPLOYER) == [-total]


@pytest.mark.thorough
@pytest.mark.timeout(3600)
def test_ten_thousand_salaries_are_paid(banks: list[Bank], windows: Any) -> None:
    green, _ = banks
    before = balances(green)
    office = windows(green, EMPLOYER, size="wide")
    with office.page.expect_download() as download:
        office.page.get_by_role("link", name=re.compile("10,?000")).click()
    text = Path(download.value.path()).read_text()
    office.page.set_input_files("#file", str(download.value.path()))
    office.enter("Check file")
    office.sees("The file is in order")
    began = time.monotonic()
    office.enter("^Pay ")
    office.page.wait_for_selector("progress")
    shown = set()
    while office.page.locator("progress").count():
        shown.add(office.page.locator("progress").first.get_attribute("value", timeout=60_000))
        time.sleep(1)
        if time.monotonic() - began > 3000:
            break
    office.sees("^Done")
    print(f"10,000 payments in {time.monotonic() - began:.0f} s")
    assert len(shown) > 10  # the page follows the progress
    with office.page.expect_download() as download:
        office.page.click("text=Download results")
    states = [line.split(",")[7] for line in Path(download.value.path()).read_text().splitlines()[1:]]
    assert (len(states), states.count("PAID")) == (10_000, 10_000)
    total = sum(int(line.split(",")[3]) for line in text.splitlines()[1:])
    assert changed(before, green, EMPLOYER) == [-total]


def test_the_staff_see_the_counter_the_position_and_equal_books(banks: list[Bank], windows: Any) -> None:
    for bank in banks:
        teller, treasurer = windows(bank, "teller", size="wide"), windows(bank, "treasurer", size="wide", theme="dark")
        teller.enter("Find", q="idrisi" if bank.name == "bluewallet" else "grace")
        teller.picture("teller")
        teller.page.click("main .line >> nth=0")
        teller.enter("Pay in", amount="1000")
        assert "Paid in: 1,000" in teller.page.inner_text("[role=status]")
        teller.picture("teller-customer")
        treasurer.sees("Position in TZS")
        treasurer.picture("treasury")
        treasurer.go("/reconciliation")
        treasurer.picture("reconciliation")
        assert "The hub and the books agree." in treasurer.page.inner_text("[role=status]")
        balances(bank)


def test_a_difference_is_shown_to_the_treasurer(stack: Stack, banks: list[Bank], windows: Any) -> None:
    green, _ = banks
    treasurer = windows(green, "treasurer")
    with sqlite3.connect(stack.state.path / green.name / "books.sqlite3", timeout=10) as books:
        (transfer_id, paid) = books.execute(
            "SELECT transfer_id, coalesce(paid, amount) FROM payment WHERE state = 'COMMITTED' AND NOT own"
            " AND currency = 'TZS' AND payee = ? ORDER BY rowid DESC",
            [IDRISI],
        ).fetchone()
        books.execute("UPDATE payment SET paid = ? WHERE transfer_id = ?", [paid + 10_000, transfer_id])
    try:
        treasurer.go("/reconciliation")
        assert "The amounts differ" in treasurer.page.inner_text("main")
        treasurer.picture("reconciliation-with-a-difference")
    finally:
        with sqlite3.connect(stack.state.path / green.name / "books.sqlite3", timeout=10) as books:
            books.execute("UPDATE payment SET paid = ? WHERE transfer_id = ?", [paid, transfer_id])


PAGES = {
    "": ["/"],
    GRACE: ["/wallet", "/send", "/request", "/scan", "/code", "/history"],
    SHOP: ["/till"],
    AGENT: ["/agent"],
    EMPLOYER: ["/bulk"],
    OFFICE: ["/bulk", "/wallet"],
    "teller": ["/teller"],
    "treasurer": ["/treasury", "/reconciliation"],
}


@pytest.mark.thorough
@pytest.mark.parametrize("language", ["fr", "sw"])
def test_the_longer_words_of_another_language_fit_a_phone(language: str, banks: list[Bank], windows: Any) -> None:
    for who, paths in PAGES.items():
        window = windows(banks[0], who)
        window.page.context.add_cookies([{"name": "language", "value": language, "url": banks[0].web_url}])
        for path in paths:
            window.go(path)
            window.picture(f"{language}-page" + path.replace("/", "-"))


@pytest.mark.parametrize("theme", ["dark", pytest.param("light", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("size", ["phone", pytest.param("wide", marks=pytest.mark.thorough)])
def test_every_page_is_for_everybody(theme: str, size: str, banks: list[Bank], windows: Any) -> None:
    """axe finds nothing serious, in both themes and sizes."""
    for who, paths in PAGES.items():
        window = windows(banks[0], who, size=size, theme=theme)
        for path in paths:
            window.go(path)
            window.picture("page" + path.replace("/", "-"))
