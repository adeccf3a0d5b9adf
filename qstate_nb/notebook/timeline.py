"""The timeline: events as a picture, a swim lane for each key, a mark for each change."""

from __future__ import annotations

from collections.abc import Sequence

from qstate_nb.core.formats import printable, short_text
from qstate_nb.core.journal import Event
from qstate_nb.notebook.render import escape
from qstate_nb.notebook.views import by, event_line

SHOWN_EVENTS = 100
_LANES = 12
_LABEL, _STEP, _ROW, _MARGIN = 190, 12, 22, 12
_TEXT = "fill:var(--jp-ui-font-color1,#333);font-family:var(--jp-ui-font-family,sans-serif);font-size:12px"
_QUIET = "fill:var(--jp-ui-font-color2,#666);font-family:var(--jp-ui-font-family,sans-serif);font-size:11px"
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#b8860b", "#3a9bd9")  # to be told apart by nearly everybody
_SHAPES = (  # around 0 0; colours alone would tell too little
    '<circle r="4.5"/>',
    '<rect x="-4" y="-4" width="8" height="8"/>',
    '<path d="M0 -5.5 L5 4 L-5 4 Z"/>',
    '<path d="M0 -5.5 L5.5 0 L0 5.5 L-5.5 0 Z"/>',
    '<path d="M-5 -1.5 H-1.5 V-5 H1.5 V-1.5 H5 V1.5 H1.5 V5 H-1.5 V1.5 H-5 Z"/>',
    '<path d="M0 5.5 L5 -4 L-5 -4 Z"/>',
)


def window(first: int, last: int, at: int) -> tuple[int, int]:
    """The numbers of the first and last event to show, of those that are kept, around the event *at*.

    Example:
        >>> window(1, 1_000, 1_000), window(1, 1_000, 500), window(1, 20, 20)
        ((901, 1000), (451, 550), (1, 20))
    """
    start = max(first, min(at - SHOWN_EVENTS // 2 + 1, last - SHOWN_EVENTS + 1))
    return start, min(last, start + SHOWN_EVENTS - 1)


def timeline_html(events: Sequence[Event], at: int, *, is_past: bool) -> str:
    """Events as an SVG picture.

    Args:
        events: one after the other, at most `SHOWN_EVENTS`.
        at: after which one a line is drawn.
        is_past: whether that is not now.
    """
    if not events:
        return ""
    marks: dict[str, list[tuple[Event, int]]] = {}
    for index, event in enumerate(events):
        for change in event.stored:
            marks.setdefault(f"{change.state}.{printable(change.field, 40)}", []).append((event, index))
    latest_last = sorted(marks, key=lambda lane: marks[lane][-1][1])[-_LANES:]
    lanes = [lane for lane in marks if lane in latest_last]
    names = list(dict.fromkeys(event.actor.task or "user" for event in events))
    kinds = {name: index for index, name in enumerate(names)}

    height = (len(lanes) + 1) * _ROW + 24
    width = _x(max(len(events), 20)) + _MARGIN
    parts = [_lane(lane, marks[lane], row, kinds) for row, lane in enumerate(lanes)]
    bottom = len(lanes) * _ROW
    parts.append(f'<text x="{_x(0)}" y="{bottom + 14}" style="{_QUIET}">{events[0].seq}</text>')
    if len(events) > 1:
        parts.append(
            f'<text x="{_x(len(events) - 1)}" y="{bottom + 14}" text-anchor="end" style="{_QUIET}">'
            f"{events[-1].seq}</text>"
        )
    dashes = ' stroke-dasharray="4 3"' if is_past else ""
    line = _x(at - events[0].seq + 0.5)
    parts.append(
        f'<line class="qstate-at" x1="{line}" x2="{line}" y1="0" y2="{bottom}" '
        f'stroke="var(--jp-warn-color1,#e08600)" stroke-width="2"{dashes}/>'
    )
    hidden = len(marks) - len(lanes)
    more = f", … {hidden:,} more keys" if hidden else ""
    summary = escape(f"events {events[0].seq} to {events[-1].seq}, a lane for each key{more}")
    picture = (
        f'<svg class="qstate-timeline" role="img" aria-label="{summary}" width="{width:g}" height="{height}" '
        f'style="display:block;max-width:none"><title>{summary}</title>{"".join(parts)}</svg>'
    )
    return f"<div>{picture}</div>{_legend(names)}"


def _x(index: float) -> float:
    return _LABEL + _MARGIN + index * _STEP


def _mark(kind: int, x: float, y: float, title: str = "") -> str:
    """The mark of the kind of that number; it says *title* when the mouse is over it."""
    said = f"<title>{escape(title)}</title>" if title else ""
    colour, shape = COLOURS[kind % len(COLOURS)], _SHAPES[kind % len(_SHAPES)]
    return f'<g transform="translate({x:g} {y:g})" fill="{colour}">{said}{shape}</g>'


def _lane(lane: str, marks: Sequence[tuple[Event, int]], row: int, kinds: dict[str, int]) -> str:
    middle = row * _ROW + _ROW // 2
    shapes = "".join(
        _mark(kinds[event.actor.task or "user"], _x(index), middle, f"{event_line(event)} by {by(event)}")
        for event, index in marks
    )
    return (
        f'<g><text x="{_LABEL}" y="{middle + 4}" text-anchor="end" style="{_TEXT}">{escape(short_text(lane, 28))}'
        f'<title>{escape(lane)}</title></text><line x1="{_LABEL + 4}" x2="100%" y1="{middle}" y2="{middle}" '
        f'stroke="var(--jp-border-color2,#ddd)"/>{shapes}</g>'
    )


def _legend(names: Sequence[str]) -> str:
    items = "".join(
        f'<span style="margin-right:14px;white-space:nowrap"><svg width="14" height="14" aria-hidden="true" '
        f'style="vertical-align:-2px">{_mark(kind, 7, 7)}</svg> {escape(printable(name, 40))}</span>'
        for kind, name in enumerate(names[:_LANES])
    )
    return f'<div class="qstate-legend" style="line-height:1.6">by: {items}</div>'
