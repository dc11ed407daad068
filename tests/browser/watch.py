"""What a browser complains about while somebody uses a page."""

from __future__ import annotations

from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Response

_TELL_VIOLATIONS = """
    addEventListener("securitypolicyviolation", (event) => console.error(
        `Content-Security-Policy: ${event.effectiveDirective} forbids ${event.blockedURI} in ${event.documentURI}`
        + ` ${event.sourceFile ?? ""}:${event.lineNumber} ${event.sample}`
    ));
"""
_NOT_LOADED = "Failed to load resource"


class Watch:
    """Collects errors of scripts, violations of the policy, and what could not be loaded, from every page."""

    def __init__(self) -> None:
        self.complaints: list[str] = []

    def judge(self) -> None:
        """Fails for what was collected, and begins anew."""
        complaints, self.complaints = self.complaints, []
        assert not complaints, "\n".join(complaints)

    def over(self, context: BrowserContext) -> None:
        context.add_init_script(_TELL_VIOLATIONS)
        context.on("page", self._over_page)
        context.on("console", self._hear)
        context.on("response", self._see)

    def _over_page(self, page: Page) -> None:
        page.on("pageerror", lambda error: self.complaints.append(f"{page.url}: {error}"))

    def _hear(self, message: ConsoleMessage) -> None:
        # What could not be loaded is known from the response, which also says whether it was the page itself.
        if message.type in ("error", "warning") and not message.text.startswith(_NOT_LOADED):
            self.complaints.append(f"{message.page.url if message.page else '?'}: {message.text}")

    def _see(self, response: Response) -> None:
        """A page may be refused, and then says so itself; nothing else may be, and nothing may break."""
        refused = response.status >= 400 and not response.request.is_navigation_request()
        if refused or response.status >= 500:
            self.complaints.append(f"{response.request.method} {response.url}: {response.status}")
