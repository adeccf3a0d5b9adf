"""`View`: plain text that is aligned, HTML in which nothing of a user's is markup."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.markup import HOSTILE, seen_in

from qstate_nb.notebook.render import Block, Heading, Paragraph, Preformatted, Table, View, escape


def test_text_is_the_blocks_one_below_the_other() -> None:
    view = View([Heading("Signup: 1 key"), Paragraph("a sentence"), Preformatted("two\n  lines")])
    assert view.text == repr(view) == "Signup: 1 key\n  a sentence\ntwo\n  lines"


def test_a_table_is_aligned_marks_rows_and_says_what_is_not_shown() -> None:
    table = Table(("key", "value"), [("a", "1"), ("long key", "22")], marked=frozenset({1}), more=1_234)
    assert table.text() == "  key       value\n  a         1\n* long key  22\n  … 1,234 more"
    assert table.html().count('class="qstate-marked"') == 1
    assert "● long key" in table.html()
    assert "… 1,234 more" in table.html()


def test_only_code_columns_are_in_the_code_font() -> None:
    html = Table(("a", "b"), [("1", "2")], code=frozenset({1})).html()
    first, second = html.partition("<tbody>")[2].split("</td>")[:2]
    assert "monospace" not in first
    assert "monospace" in second


def test_a_notebook_gets_both_and_they_are_the_same_every_time() -> None:
    view = View([Heading("Signup")], data={"a": 1})
    bundle = view._repr_mimebundle_(include=None, exclude=None)
    assert bundle == {"text/plain": "Signup", "text/html": '<div class="qstate"><div><b>Signup</b></div></div>'}
    assert view._repr_mimebundle_() == bundle
    assert view.data == {"a": 1}


@pytest.mark.parametrize(
    "block",
    [
        Heading(f"{HOSTILE}\ud800"),
        Paragraph(f"{HOSTILE}\ud800"),
        Preformatted(f"{HOSTILE}\ud800"),
        Table((HOSTILE, "b"), [(HOSTILE, HOSTILE)], code=frozenset({1}), marked=frozenset({0})),
    ],
    ids=lambda block: type(block).__name__,
)
def test_every_block_shows_a_hostile_text_as_text(block: Block) -> None:
    seen = seen_in(View([block]).html)
    assert HOSTILE in seen
    assert "\ud800" not in seen


@given(st.text())
def test_escaped_text_has_no_markup_and_can_be_sent(text: str) -> None:
    escaped = escape(text)
    assert not set("<>\"'") & set(escaped)
    escaped.encode()


def test_an_empty_view_is_empty() -> None:
    assert View([]).text == ""
    assert View([]).html == '<div class="qstate"></div>'
