"""What an exploration found, as text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qstate_nb.core.formats import counted

if TYPE_CHECKING:
    from qstate_nb.races.exploration import Exploration
    from qstate_nb.races.outcomes import Outcome

MOST_SHOWN = 20
"""Outcomes that are shown."""

NO_PROBABILITY = "a share of schedules is no probability: real ones are not all as likely"


def share_text(outcome: Outcome, total: int) -> str:
    """How many schedules lead to an outcome: ``48 of 90 schedules (53 %)``."""
    if not outcome.schedules:
        return "found, its schedules were not counted"
    share = outcome.share * 100
    percent = f"{float(share):.0f} %" if share >= 1 else "under 1 %"
    return f"{outcome.schedules:,} of {counted(total, 'schedule')} ({percent})"


def headline(found: Exploration) -> str:
    """The verdict in one line."""
    extent = "not complete"
    if found.complete:
        extent = f"all of {counted(found.total, 'interleaving')}"
    elif found.total:
        extent = f"not complete: {counted(found.total, 'interleaving')} counted"
    return f"{found.verdict}: {' | '.join(found.labels)}; {counted(len(found.outcomes), 'outcome')}, {extent}"


def outcome_lines(outcome: Outcome, found: Exploration) -> list[str]:
    """An outcome as text."""
    lines = [f"{outcome.verdict}: {outcome.state_text}"]
    lines += [f"  {text}" for text in outcome.ends(found.labels)]
    if outcome.reason:
        lines.append(f"  {outcome.reason}")
    elif outcome.serial and len(found.labels) > 1:
        lines.append(f"  as one after another: {', then '.join(outcome.serial)}")
    how = f"{share_text(outcome, found.total)}; fewest preemptions: {outcome.preemptions}"
    lines.append(f"  {how}; id {outcome.id}" if outcome.id else f"  {share_text(outcome, found.total)}")
    return lines


def exploration_text(found: Exploration) -> str:
    """All that was found, as text that is the same on every run."""
    lines = [headline(found)]
    for outcome in found.outcomes[:MOST_SHOWN]:
        lines += outcome_lines(outcome, found)
    if len(found.outcomes) > MOST_SHOWN:
        lines.append(f"… and {counted(len(found.outcomes) - MOST_SHOWN, 'outcome')} more")
    lines += [f"note: {note}" for note in found.notes]
    lines += [f"warning: {warning}" for warning in found.warnings]
    if len(found.outcomes) > 1:
        lines.append(f"({NO_PROBABILITY})")
    return "\n".join(lines)
