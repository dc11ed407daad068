"""What a strict content security policy would refuse in a page."""

from __future__ import annotations

from html.parser import HTMLParser

_DATA = {"application/json", "text/plain"}


def inline(page: str) -> list[str]:
    """Scripts, styles, handlers and addresses that are written into the page itself."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    return reader.found


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in given and given.get("type") not in _DATA):
            self.found.append(f"<{tag}> at {self.getpos()}")
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name == "style" or name.startswith("on") or text.startswith(("javascript:", "data:")):
                self.found.append(f'<{tag} {name}="{value}"> at {self.getpos()}')
            elif name in ("src", "href", "action") and tag != "a" and "//" in text:
                self.found.append(f'<{tag} {name}="{value}"> from elsewhere at {self.getpos()}')
