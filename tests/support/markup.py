"""HTML in which a user's text must be text: what tags and attributes there are, and what a reader sees."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = "<script>alert(1)</script>\"><img src=x onerror=alert(1)>'&amp;"

_TAGS = {"div", "h2", "h3", "h4", "b", "span", "pre", "details", "summary"}
_TAGS |= {"table", "thead", "tbody", "tr", "th", "td"}
_PICTURE = {"svg", "g", "title", "text", "line", "circle", "rect", "path"}
_ATTRIBUTES = {"style", "class", "scope", "open", "tabindex", "role", "aria-label"}
_OF_PICTURES = {
    *("width", "height", "role", "aria-label", "aria-hidden", "transform", "fill", "stroke", "stroke-width", "d"),
    *("stroke-dasharray", "x", "y", "x1", "x2", "y1", "y2", "r", "rx", "text-anchor"),
}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in _TAGS | _PICTURE, f"<{tag}> is none of ours"
        for name, value in attrs:
            assert name in _ATTRIBUTES | (_OF_PICTURES if tag in _PICTURE else set()), (
                f"<{tag} {name}> is none of ours"
            )
            is_role = (name, value) == ("role", "alert")
            assert is_role or "alert" not in (value or ""), f"<{tag} {name}={value!r}>"

    def handle_data(self, data: str) -> None:
        self.seen.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def seen_in(html: str) -> str:
    """What a reader of the HTML sees; it must have no tag or attribute but those that our views are made of."""
    html.encode()
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return "".join(reader.seen)
