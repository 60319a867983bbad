"""Automatic mutants: what is changed, what is left alone, and how they are called."""

import ast
import textwrap
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ladder.mutants import mutants_of


def keys(source: str, *names: str) -> list[str]:
    return [m.key for m in mutants_of(textwrap.dedent(source), names or ["f"])]


def function(body: str, head: str = "def f(x, y, z):") -> str:
    return head + "\n" + textwrap.indent(textwrap.dedent(body).strip(), "    ") + "\n"


@pytest.mark.parametrize(("body", "expected"), [
    ("return x * (y - x @ y)", "x * (y - x @ y) -> x / (y - x @ y)"),
    ("return x * (y - x @ y)", "x @ y -> y @ x"),
    ("return x - y", "x - y -> y - x"),
    ("return x ** y", "x ** y -> x * y"),
    ("return -x", "return -x -> return x"),
    ("return x + y", "return x + y -> return -(x + y)"),
    ("return x < y", "x < y -> x <= y"),
    ("return x < y", "x < y -> x > y"),
    ("return x == y", "x == y -> x != y"),
    ("return x and y", "x and y -> x or y"),
    ("return x.sum(axis=0)", "x.sum(axis=0) -> x.sum(axis=1)"),
    ("return x.sum(axis=-1)", "x.sum(axis=-1) -> x.sum(axis=0)"),
    ("return x.sum(axis=-1)", "x.sum(axis=-1) -> x.sum()"),
    ("return x.sum(axis=0)", "x.sum(axis=0) -> x.mean(axis=0)"),
    ("return x.max(0, keepdims=True)", "x.max(0, keepdims=True) -> x.max(0)"),
    ("return max(x)", "max(x) -> min(x)"),
    ("return np.zeros(x)", "np.zeros(x) -> np.ones(x)"),
    ("return np.log(x)", "np.log(x) -> np.exp(x)"),
    ("return g(x, y)", "g(x, y) -> g(y, x)"),
    ("return g(x, flag=True)", "g(x, flag=True) -> g(x, flag=False)"),
    ("return x.T", "x.T -> x"),
    ("return x.transpose(1, 0)", "x.transpose(1, 0) -> x"),
    ("return np.transpose(x)", "np.transpose(x) -> x"),
    ("x += y\nreturn x", "x += y -> x = y"),
    ("x += y\nreturn x", "x += y -> x -= y"),
    ("x += y\nreturn x", "x += y -> (removed)"),
    ("return x[y:]", "x[y:] -> x[y + 1:]"),
    ("return x[y:]", "x[y:] -> x[y:-1]"),
    ("return x[:y]", "x[:y] -> x[:y - 1]"),
    ("return x[::-1]", "x[::-1] -> x[:]"),
    ("return list(range(y))", "range(y) -> range(y - 1)"),
    ("return list(range(y))", "range(y) -> range(1, y)"),
    ("return reversed(x)", "reversed(x) -> x"),
    ("if x:\n    y = 1\nreturn y", "if x: ... -> if not x"),
    ("return y if x else z", "y if x else z -> y if not x else z"),
    ("return [a for a in x if a]", "if a"),
    ("for a in x:\n    y += a\nreturn y", "for a in x: ... -> (stops after one turn)"),
    ("y = 0\nfor a in x:\n    y += a\ny *= 2\nreturn y", "for a in x: ... -> (return y before this)"),
    ("return x, y", "return (x, y) -> return (y, x)"),
    ("return {'q1': 'b'}", "'q1': 'b' -> 'q1': 'b?'"),
    ("return np.einsum('ij,jk->ik', x, y)", "np.einsum('ij,jk->ik', x, y) -> np.einsum('ij,jk->ki', x, y)"),
])
def test_changes_what_a_learner_may_get_wrong(body: str, expected: str) -> None:
    assert any(expected in key for key in keys(function(body)))


def test_leaves_alone_what_a_learner_does_not_write() -> None:
    source = '''
    class A:
        """Class 1 + 1."""

        def __init__(self, x=1):
            """Docstring 1 + 1."""
            self.x: "Float[1 + 1]" = x

        def __repr__(self):
            return "A" + str(1 + 1)

        def given(self):
            return 1 + 1

    def g(x):
        return 1 + 1
    '''
    assert keys(source, "A.__init__") == ["A.__init__: self.x: 'Float[1 + 1]' = x -> (removed)"]
    assert not any("1 + 1" in key and "Float" not in key for key in keys(source, "A.__init__"))
    assert {key.partition(":")[0] for key in keys(source, "A")} == {"A.__init__", "A.given"}


def test_leaves_error_messages_and_asserts_alone() -> None:
    found = keys(function('''
        if x < 0:
            raise ValueError(f"at least {1 + 2}" + "!")
        assert x > 3, "m" + str(5)
        return x
    '''))
    assert not any(part in key for key in found for part in ("ValueError(", "assert", "2", "5"))


def test_fences_keep_given_code_out() -> None:
    found = keys(function('''
        a = x + 1
        # BEGIN SOLUTION
        b = a * y
        # END SOLUTION
        return b - z
    '''))
    assert found and all("a * y" in key for key in found)


def test_the_same_pair_twice_is_numbered_and_knows_its_line() -> None:
    found = mutants_of(function("a = x * y\nb = x * y\nreturn a - b"), ["f"])
    twins = [m for m in found if m.key.startswith("f: x * y -> x / y")]
    assert [m.key for m in twins] == ["f: x * y -> x / y", "f: x * y -> x / y @2"]
    assert [m.line for m in twins] == [2, 3]
    assert len({m.source for m in found}) == len(found)


def test_a_removed_only_statement_leaves_a_function() -> None:
    found = {m.key: m.source for m in mutants_of(function("return x"), ["f"])}
    assert found["f: return x -> (removed)"].strip().endswith("pass")


# any function at all

atoms = st.sampled_from(["x", "y", "z", "0", "1", "2.5", "-1", "True", "None", "'text'", "x.T", "x[1:]",
                         "x[::-1]", "x.sum(axis=-1, keepdims=True)", "range(len(x))", "f'{x}'"])
expressions = st.recursive(atoms, lambda inner: st.one_of(
    st.builds("({} {} {})".format, inner,
              st.sampled_from(["+", "-", "*", "/", "**", "@", "//", "%", "&", "|", "<", "<=", "==",
                               "!=", "and", "or", "in", "is"]), inner),
    st.builds("g({}, {})".format, inner, inner),
    st.builds("np.max({}, axis=0)".format, inner),
    st.builds("(-{})".format, inner),
    st.builds("(not {})".format, inner),
    st.builds("({} if {} else {})".format, inner, inner, inner),
    st.builds("[{} for a in {} if {}]".format, inner, inner, inner),
    st.builds("({}, {})".format, inner, inner),
    st.builds("(lambda q: {})".format, inner),
    st.builds("{{'k': {}}}".format, inner),
    st.builds("x[{}:{}]".format, inner, inner),
), max_leaves=8)
simple = st.one_of(
    st.builds("x = {}".format, expressions), st.builds("y += {}".format, expressions),
    st.builds("g({})".format, expressions), st.builds("return {}".format, expressions),
    st.builds("x[{}] = {}".format, expressions, expressions), st.just("raise ValueError('no' + x)"),
    st.builds("assert {}, 'why'".format, expressions), st.builds("a: int = {}".format, expressions),
)


def indented(lines: list[str]) -> str:
    return textwrap.indent("\n".join(lines), "    ")


statements = st.recursive(simple, lambda inner: st.one_of(
    st.builds(lambda test, body: f"if {test}:\n{indented(body)}", expressions, st.lists(inner, min_size=1)),
    st.builds(lambda test, a, b: f"if {test}:\n{indented(a)}\nelse:\n{indented(b)}",
              expressions, st.lists(inner, min_size=1), st.lists(inner, min_size=1)),
    st.builds(lambda over, body: f"for i in {over}:\n{indented(body)}\n    continue",
              expressions, st.lists(inner, min_size=1)),
    st.builds(lambda body: f"while x:\n{indented(body)}\n    break", st.lists(inner, min_size=1)),
    st.builds(lambda body: f"def inner(q):\n    'doc'\n{indented(body)}", st.lists(inner, min_size=1)),
    st.builds(lambda body: f"with x:\n{indented(body)}", st.lists(inner, min_size=1)),
), max_leaves=6)


@settings(max_examples=60, deadline=None)
@given(st.lists(statements, min_size=1, max_size=4), st.booleans())
def test_every_mutant_compiles_and_differs_and_has_its_own_key(body: list[str], documented: bool) -> None:
    docstring = '    """Do 1 + 1."""\n' if documented else ""
    source = (f"import numpy as np\n\n\ndef f(x, y=1 + 1):\n{docstring}{indented(body)}\n\n\n"
              "def other():\n    return 1 + 1\n")
    original = ast.dump(ast.parse(source))
    found = mutants_of(source, ["f"])
    assert found == mutants_of(source, ["f"])
    assert len({m.key for m in found}) == len(found)
    for mutant in found:
        tree = ast.parse(mutant.source)
        with warnings.catch_warnings(action="ignore", category=SyntaxWarning):
            compile(tree, "<mutant>", "exec")
        assert ast.dump(tree) != original
        f = tree.body[1]
        assert isinstance(f, ast.FunctionDef)
        assert ast.unparse(f.args) == "x, y=1 + 1"
        assert not documented or ast.get_docstring(f) == "Do 1 + 1."
        assert ast.unparse(tree.body[2]) == "def other():\n    return 1 + 1"
        assert 5 <= mutant.line <= len(source.split("\n"))
