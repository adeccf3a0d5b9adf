"""`View`: one content, shown as plain text and as HTML.

The text is the same on every run of the same notebook: no identities, addresses or times. All of it that comes
from tasks or State is escaped in the HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape as escape_markup
from typing import Any, Protocol

from qstate_nb.core.formats import encodable

_TABLE = "border-collapse:collapse;margin:2px 0 8px 0;font-size:var(--jp-code-font-size,13px)"
_CELL = "text-align:left;vertical-align:top;padding:2px 10px 2px 0;white-space:pre-wrap;overflow-wrap:anywhere"
_CODE = "font-family:var(--jp-code-font-family,monospace)"
_QUIET = "color:var(--jp-ui-font-color2,#666)"
_NOTICE = (
    "border:2px dashed var(--jp-warn-color1,#e08600);padding:4px 8px;margin:0 0 8px 0;font-weight:bold;"
    "color:var(--jp-ui-font-color0,#000)"
)
_MARK = "background:var(--jp-warn-color3,#ffe8b3);color:var(--jp-ui-font-color0,#000)"


def escape(text: str) -> str:
    """Text for HTML, where it can't be markup."""
    return escape_markup(encodable(text))


class Block(Protocol):
    """A part of a view."""

    def text(self) -> str:
        """The block in plain text, without a line end."""

    def html(self) -> str:
        """The block in HTML."""


@dataclass(frozen=True, slots=True)
class Heading:
    """A title of what follows."""

    title: str

    def text(self) -> str:
        """The title alone."""
        return self.title

    def html(self) -> str:
        """The title in bold."""
        return f"<div><b>{escape(self.title)}</b></div>"


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A sentence."""

    content: str

    def text(self) -> str:
        """The sentence, indented under its heading."""
        return f"  {self.content}"

    def html(self) -> str:
        """The sentence, in a quiet colour."""
        return f'<div style="{_QUIET}">{escape(self.content)}</div>'


@dataclass(frozen=True, slots=True)
class Notice:
    """A sentence that must not be overlooked."""

    content: str

    def text(self) -> str:
        """The sentence alone."""
        return self.content

    def html(self) -> str:
        """The sentence in a frame."""
        return f'<div class="qstate-notice" style="{_NOTICE}">{escape(self.content)}</div>'


@dataclass(frozen=True, slots=True)
class Preformatted:
    """Text that keeps its lines."""

    content: str

    def text(self) -> str:
        """The lines as they are."""
        return self.content

    def html(self) -> str:
        """The lines as they are, in the code font."""
        return f'<pre style="margin:2px 0 8px 0;white-space:pre-wrap">{escape(self.content)}</pre>'


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under column titles.

    Args:
        columns: the titles.
        rows: the cells, as text.
        code: indexes of the columns that are shown in the code font.
        marked: indexes of the rows that stand out; in text they have a ``*``, in HTML also a dot.
        more: how many rows there are that are not shown.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    code: frozenset[int] = frozenset()
    marked: frozenset[int] = frozenset()
    more: int = 0

    def text(self) -> str:
        """The table in aligned columns."""
        rows = [self.columns, *self.rows]
        widths = [max(len(row[i]) for row in rows) for i in range(len(self.columns))]
        lines = [self._line(row, widths, index - 1 in self.marked) for index, row in enumerate(rows)]
        return "\n".join([*lines, *([f"  … {self.more:,} more"] if self.more else [])])

    @staticmethod
    def _line(row: Sequence[str], widths: Sequence[int], marked: bool) -> str:
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        return f"{'*' if marked else ' '} {cells}".rstrip()

    def html(self) -> str:
        """The table as such."""
        head = "".join(f'<th scope="col" style="{_CELL};{_QUIET}">{escape(title)}</th>' for title in self.columns)
        body = "".join(self._row(row, index in self.marked) for index, row in enumerate(self.rows))
        more = f'<div style="{_QUIET}">… {self.more:,} more</div>' if self.more else ""
        return f'<table style="{_TABLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}'

    def _row(self, row: Sequence[str], marked: bool) -> str:
        first, *others = map(escape, row)
        cells = "".join(
            f'<td style="{_CELL}{";" + _CODE if index in self.code else ""}">{cell}</td>'
            for index, cell in enumerate([f"● {first}" if marked else first, *others])
        )
        mark = f' style="{_MARK}" class="qstate-marked"' if marked else ""
        return f"<tr{mark}>{cells}</tr>"


@dataclass(frozen=True, slots=True, repr=False)
class View:
    """Something to show in a notebook or a terminal.

    Args:
        blocks: its parts, in order.
        data: what it was made from, for code: see the command that made it.
    """

    blocks: Sequence[Block]
    data: Any = field(default=None)

    @property
    def text(self) -> str:
        """The content in plain text."""
        return "\n".join(block.text() for block in self.blocks)

    @property
    def html(self) -> str:
        """The content in HTML."""
        return f'<div class="qstate">{"".join(block.html() for block in self.blocks)}</div>'

    def __repr__(self) -> str:
        return self.text

    def _repr_mimebundle_(self, **_: Any) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self.html}
