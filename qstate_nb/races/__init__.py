"""Every interleaving of tasks, exactly: `explore` finds all outcomes, `assert_no_races` is for tests."""

from __future__ import annotations

from qstate_nb.races.exploration import Exploration, assert_no_races, explore
from qstate_nb.races.outcomes import Outcome
from qstate_nb.races.stepping import Stepper
from qstate_nb.races.timeline import Timeline

__all__ = ["Exploration", "Outcome", "Stepper", "Timeline", "assert_no_races", "explore"]
