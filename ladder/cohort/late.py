"""nbgrader's plugin for late work, with the policy that cohort.yaml states."""

from __future__ import annotations

import math
from typing import Any

from nbgrader.plugins import LateSubmissionPlugin
from traitlets import Float, Integer

DAY = 86_400


class LatePolicy(LateSubmissionPlugin):
    """Named in ``AssignLatePenalties.plugin_class`` of a published course."""

    grace_minutes = Integer(0, help="Minutes after the due time that cost nothing.").tag(config=True)
    per_day = Float(0.0, help="Per cent of the score for each day begun.").tag(config=True)
    at_most = Float(100.0, help="Per cent of the score that lateness costs at most.").tag(config=True)
    closes_after = Integer(None, allow_none=True, help="Days after which late work scores nothing."
                           ).tag(config=True)

    def late_submission_penalty(self, student_id: Any, score: float,
                                total_seconds_late: float) -> float:
        return penalty(score, total_seconds_late, self.grace_minutes, self.per_day, self.at_most,
                       self.closes_after)


def penalty(score: float, seconds: float, grace_minutes: int, per_day: float, at_most: float,
            closes_after: int | None) -> float:
    """The points that ``score`` loses for being ``seconds`` late."""
    late = seconds - 60 * grace_minutes
    if late <= 0:
        return 0.0
    if closes_after is not None and late > DAY * closes_after:
        return score
    return round(score * min(per_day * math.ceil(late / DAY), at_most) / 100, 2)
