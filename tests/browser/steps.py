"""What two people do again and again in the portal: one of them requests a change, the other approves it."""

from tests.browser.conftest import Window

DONE = "Request approved. The change has taken effect."


def ask(maker: Window, reason: str) -> None:
    """Submits the form that is open, with this reason."""
    maker.page.get_by_label("Reason").fill(reason)
    maker.page.get_by_role("button", name="Submit request").click()
    maker.page.get_by_text("You submitted this request. Another person must approve or reject your request.").wait_for()


def approve(checker: Window, title: str, *, reads: str = "", told: str = DONE) -> None:
    """Finds the request as a checker does, reads it and approves it."""
    checker.go("/portal/overview/")
    checker.page.get_by_role("link", name="Approvals").click()
    checker.page.get_by_role("link", name=title).first.click()
    if reads:
        checker.page.get_by_text(reads).first.wait_for()
    checker.page.get_by_role("button", name="Approve").click()
    checker.page.get_by_text(told).wait_for()
