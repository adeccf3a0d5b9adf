"""A schedule as a picture: a lane for each task, a row for each step, State beside it, and what went wrong."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from qstate_nb.core.formats import one_line, short_text
from qstate_nb.notebook.render import escape
from qstate_nb.notebook.timeline import COLOURS
from qstate_nb.races.timeline import Shown, Timeline, change_text

_ROW, _TOP, _LANE, _STATE, _MARGIN = 42, 34, 230, 440, 14
_MOST_STEPS = 200
_FONT = "font-family:var(--jp-code-font-family,monospace);font-size:12px"
_TEXT = f"fill:var(--jp-ui-font-color1,#333);{_FONT}"
_QUIET = f"fill:var(--jp-ui-font-color2,#666);{_FONT}"
_BAD = "var(--jp-error-color1,#b00020)"
_WARN = "var(--jp-warn-color1,#a35d00)"
_LINE = "var(--jp-border-color2,#bbb)"
_BOX = "fill:var(--jp-layout-color2,#eee);stroke:var(--jp-border-color1,#999)"


def swimlanes(timeline: Timeline) -> str:
    """A schedule as an SVG picture, with a title for those who can't see it."""
    steps = timeline.steps[:_MOST_STEPS]
    lanes = len(timeline.labels)
    width = _MARGIN + 34 + lanes * _LANE + _STATE
    height = _TOP + len(steps) * _ROW + _MARGIN + (20 if len(timeline.steps) > len(steps) else 0)
    parts = [_heads(timeline.labels, height)]
    parts += [_step(step, lanes) for step in steps]
    parts += [_switch(before, step) for before, step in pairwise(steps) if step.mark]
    parts += [_stale(step, lanes) for step in steps if step.stale and step.stale <= len(steps)]
    parts += [_decisive(step, lanes) for step in steps if step.is_decisive]
    if len(timeline.steps) > len(steps):
        rest = f"… {len(timeline.steps) - len(steps):,} more steps"
        parts.append(f'<text x="{_MARGIN}" y="{height - 8}" style="{_QUIET}">{rest}</text>')
    title = f"a schedule of {len(timeline.steps)} steps"
    return (
        f'<svg class="qstate-lanes" width="{width}" height="{height}" '
        f'style="max-width:none;width:{width}px;height:{height}px" '  # notebooks shrink pictures, and cut them
        f'role="img" aria-label="{escape(title)}"><title>{escape(title)}</title>'
        f"{''.join(parts)}</svg>"
    )


def _x(lane: int) -> int:
    return _MARGIN + 34 + lane * _LANE


def _y(number: int) -> int:
    return _TOP + (number - 1) * _ROW


def _colour(lane: int) -> str:
    return COLOURS[lane % len(COLOURS)]


def _heads(labels: Sequence[str], height: int) -> str:
    parts = []
    for lane, label in enumerate(labels):
        x = _x(lane)
        parts.append(
            f'<text x="{x}" y="18" style="{_TEXT};font-weight:bold">{escape(short_text(one_line(label), 28))}</text>'
            f'<line x1="{x + 4}" y1="{_TOP - 8}" x2="{x + 4}" y2="{height - _MARGIN}" '
            f'style="stroke:{_colour(lane)};stroke-width:2"/>'
        )
    x = _x(len(labels))
    return "".join(parts) + f'<text x="{x}" y="18" style="{_QUIET}">State after the step</text>'


def _step(step: Shown, lanes: int) -> str:
    x, y = _x(step.lane), _y(step.number)
    state = short_text(one_line("; ".join(map(change_text, step.changes))), 40)
    whole = f"step {step.number}: {step.text}" + (f" - {step.note}" if step.note else "")
    edge = f";stroke:{_BAD};stroke-width:2" if step.stale else ""
    return (
        f"<g><title>{escape(one_line(whole))}</title>"
        f'<text x="{_MARGIN}" y="{y + 17}" style="{_QUIET}">{step.number}</text>'
        f'<rect x="{x}" y="{y}" width="{_LANE - 14}" height="{_ROW - 8}" rx="4" style="{_BOX}{edge}"/>'
        f'<rect x="{x}" y="{y}" width="5" height="{_ROW - 8}" style="fill:{_colour(step.lane)}"/>'
        f'<text x="{x + 10}" y="{y + 17}" style="{_TEXT}">{escape(short_text(one_line(step.text), 28))}</text>'
        f'<text x="{_x(lanes) + 14}" y="{y + (12 if step.note else 17)}" style="{_TEXT}">{escape(state)}</text>'
        f"{_note(step, lanes)}</g>"
    )


def _note(step: Shown, lanes: int) -> str:
    x, y = _x(lanes) + 14, _y(step.number) + 25
    return f'<text x="{x}" y="{y}" style="fill:{_BAD};{_FONT}">{escape(step.note)}</text>' if step.note else ""


def _switch(before: Shown, step: Shown) -> str:
    """A line from lane to lane; a preemption is solid."""
    x1, x2, y = _x(before.lane) + 20, _x(step.lane) + 20, _y(step.number) - 4
    if before.lane == step.lane:
        return ""
    dashes = "" if step.mark == "preempts" else ";stroke-dasharray:3 3"
    title = "another task goes on, though this one could" if step.mark == "preempts" else "another task goes on"
    return (
        f'<g class="{step.mark}"><title>{title}</title>'
        f'<path d="M{x1} {y - 4} L{x1} {y} L{x2} {y} L{x2} {y + 4}" '
        f'style="fill:none;stroke:{_LINE};stroke-width:2{dashes}"/></g>'
    )


def _stale(step: Shown, lanes: int) -> str:
    """An arrow from a step to the one that it overwrites, or that changed what it rests on."""
    x, y1, y2 = _x(lanes) - 10, _y(step.number) + 12, _y(step.stale) + 12
    bend = x + 16
    return (
        f'<g class="stale"><title>{escape(step.note)}</title>'
        f'<path d="M{x - 4} {y1} C{bend} {y1} {bend} {y2} {x - 2} {y2}" '
        f'style="fill:none;stroke:{_BAD};stroke-width:2"/>'
        f'<path d="M{x - 4} {y2} l7 -4 l0 8 z" style="fill:{_BAD}"/></g>'
    )


def _decisive(step: Shown, lanes: int) -> str:
    x, y = _x(lanes) + 14, _y(step.number) + _ROW - 6
    return (
        f'<line class="decisive" x1="{_MARGIN}" y1="{y}" x2="{x + _STATE - 2 * _MARGIN}" y2="{y}" '
        f'style="stroke:{_WARN};stroke-width:2;stroke-dasharray:6 3"/>'
        f'<text x="{x + _STATE - 2 * _MARGIN}" y="{y - 3}" text-anchor="end" style="fill:{_WARN};{_FONT}">'
        "from here on, only bad outcomes</text>"
    )
