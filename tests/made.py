"""Checks on made-up days, for tests of the judge: a solution as text, a check as a function."""

from ladder import content, judge
from ladder.checks import Check, check
from ladder.observe import observe

STAGE, SLUG = "stage1_foundation", "day01_made"


def made_check(monkeypatch, source, function, **options) -> Check:
    """A check of the made-up day whose solution is ``source``."""
    function.__module__ = f"ladder.graders.{STAGE}.{SLUG}"
    made = check(**options)(function)
    namespace = content.variant(STAGE, SLUG, source)
    monkeypatch.setattr(content, "solution_source", lambda stage, slug: source)
    monkeypatch.setattr(content, "reference_objects",
                        lambda c: content.pick(namespace, c.needs, c.slug))
    for name in ("_references", "_mistaken"):
        monkeypatch.setattr(judge, name, {})
    return made


def verdict_of(made, *objects, seed=1, hidden=False, **more):
    return judge.judge(made, observe(made, objects, seed, hidden), seed, hidden, **more)
