"""Checks of a line."""

from ladder.checks import check, say


@check()
def check_line(line, rng):
    """A line."""
    yield "x = 2", lambda: line(2.0, 3.0, float(rng.normal()))


check_line.mistake(say("Where does b go?", "b 去哪儿了？"), within="line", replace={"a * x + b": "a * x"})
