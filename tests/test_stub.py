"""What is cut, what stays, and that it is Python either way."""

import ast
import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ladder.errors import LessonError
from ladder.stub import HOLE, KERNEL_HOLE, Cutter, cut_statements, quote, stub_source


def source(text):
    return textwrap.dedent(text).lstrip("\n")


def cut(text, names, imported=None, docstrings=None, solved=False):
    tops = list(dict.fromkeys(name.split(".")[0] for name in names))
    return Cutter(source(text), {"ex": names}, docstrings).cell("ex", imported or tops, solved)


FUNCTION = '''
    import numpy as np

    EPS = 1e-9


    def helper(x):
        # a comment of ours
        return x + EPS  # kept


    @np.vectorize
    def f(
        x: float,  # the argument
        y: float = 2.0,
    ) -> float:
        """The task.

        In two paragraphs.
        """
        # the trick: subtract
        z = x - y

        def inner(q):
            return q * z

        return inner(3)
        # the end of the answer
'''


def test_a_function_keeps_signature_decorators_and_docstring():
    assert cut(FUNCTION, ["f"]) == source(f'''
        @np.vectorize
        def f(
            x: float,  # the argument
            y: float = 2.0,
        ) -> float:
            """The task.

            In two paragraphs.
            """
            {HOLE}''')


def test_solved_is_the_solution():
    assert "the trick" in cut(FUNCTION, ["f"], solved=True)
    assert ast.dump(ast.parse(cut(FUNCTION, ["f"], solved=True))) == ast.dump(
        ast.parse(source(FUNCTION)).body[-1:] and ast.Module([ast.parse(source(FUNCTION)).body[-1]], []))


def test_other_imported_names_are_given_as_they_are():
    made = cut(FUNCTION, ["f"], ["EPS", "helper", "f"])
    assert made.startswith("EPS = 1e-9\n\n\ndef helper(x):\n    # a comment of ours\n"
                           "    return x + EPS  # kept\n\n\n@np.vectorize")


@pytest.mark.parametrize("body", [
    "    # the trick\n    return 1",
    "    # the trick\n\n    # and more\n    return 1",
    "    @functools.cache  # the trick\n    def inner():\n        return 1\n    return inner()",
    "    return 1\n    # the trick",
    "    return 1\n\n    # the trick\n",
    '    """Doc."""\n    # the trick\n    return 1',
])
def test_no_comment_or_decorator_of_the_body_stays(body):
    text = f"import functools\n\n\ndef f():  # given\n{body}\n\n\ndef g():\n    pass\n"
    for made in (cut(text, ["f"]), stub_source(text, ["f"]).split("def g")[0]):
        assert "trick" not in made and "cache" not in made and HOLE in made
        ast.parse(made)
    assert "def f():  # given\n" in cut(text, ["f"])
    assert "trick" in cut(text, ["f"], solved=True)


def test_a_body_on_the_line_of_the_signature_is_the_authors_to_mend():
    for text in ("def f(x): return x\n", "def f(\n    x): return x\n", "class A: x = 1\n"):
        with pytest.raises(LessonError, match="lines of its own"):
            cut(text, ["f" if "def" in text else "A"])


FENCED = '''
    def f(x):
        """Task."""
        y = x + 1
        if y:
            # BEGIN SOLUTION
            y = y * 17
            # END SOLUTION
        z = y
        # BEGIN SOLUTION
        return z + 23
        # END SOLUTION
'''


def test_fences_cut_only_what_they_hold():
    made = cut(FENCED, ["f"])
    assert made == source(f'''
        def f(x):
            """Task."""
            y = x + 1
            if y:
                {HOLE}
            z = y
            {HOLE}''')
    assert "SOLUTION" not in cut(FENCED, ["f"], solved=True)
    assert "return z + 23" in cut(FENCED, ["f"], solved=True)
    assert stub_source(source(FENCED), ["f"]).rstrip() == made
    assert [ast.unparse(s) for s in cut_statements(source(FENCED), ["f"])] == ["y = y * 17", "return z + 23"]


@pytest.mark.parametrize(("lines", "words"), [
    (["# BEGIN SOLUTION", "return 1"], "without # END"),
    (["return 1", "# END SOLUTION"], "without # BEGIN"),
    (["# BEGIN SOLUTION", "x = 1", "# BEGIN SOLUTION", "# END SOLUTION"], "inside another"),
])
def test_broken_fences(lines, words):
    text = "def f():\n" + "".join(f"    {line}\n" for line in lines)
    with pytest.raises(LessonError, match=f"f: .*{words}"):
        cut(text, ["f"])


KERNEL = '''
    @triton.autotune(configs=[], key=["n"])
    @triton.jit
    def softmax_kernel(x_ptr, n, BLOCK: tl.constexpr):
        """Softmax."""
        row = tl.program_id(0)
        return row


    @triton.jit
    def fenced_kernel(x_ptr):
        """Softmax."""
        row = tl.program_id(0)
        # BEGIN SOLUTION
        tl.store(x_ptr, row)
        # END SOLUTION


    @torch.jit.script
    def scripted(x):
        """Not Triton."""
        return x
'''


def test_kernels_get_a_hole_that_compiles():
    for name in ("softmax_kernel", "fenced_kernel"):
        assert KERNEL_HOLE in cut(KERNEL, [name]) and HOLE not in cut(KERNEL, [name])
        assert KERNEL_HOLE in stub_source(source(KERNEL), [name])
    assert HOLE in cut(KERNEL, ["scripted"])
    assert "row = tl.program_id(0)" in cut(KERNEL, ["fenced_kernel"])


CLASS = '''
    @dataclass
    class Value(Base):
        """A number that remembers."""

        # about slots
        __slots__ = ("data", "grad")
        count: int = 0

        def __init__(self, data):
            """Task of init."""
            self.data = data

        def __repr__(self):
            return f"Value({self.data})"

        def __add__(self, other):
            # adding
            return Value(self.data + other.data)

        @property
        def double(self):
            """Twice."""
            return 2 * self.data

        @staticmethod
        def zero():
            return Value(0)

        def backward(self):
            """Task of backward."""
            self.grad = 1
'''
GROWING = {"first": ["Value.__init__", "Value.__add__"], "later": ["Value.double", "Value.backward"]}


def test_a_class_grows_over_cells():
    cutter = Cutter(source(CLASS), GROWING)
    first, later = cutter.cell("first", ["Value"]), cutter.cell("later", ["Value"])
    assert first.startswith('@dataclass\nclass Value(Base):\n    """A number that remembers."""\n')
    assert first.count(HOLE) == 2 and "adding" not in first
    assert "def __repr__" in first and "return Value(0)" in first  # not asked for, so given
    assert "double" not in first and "backward" not in first
    assert later == source(f'''
        @method_of(Value)
        @property
        def double(self):
            """Twice."""
            {HOLE}


        @method_of(Value)
        def backward(self):
            """Task of backward."""
            {HOLE}''')


def test_a_whole_class_keeps_its_given_parts():
    made = Cutter(source(CLASS), {"ex": ["Value"]}).cell("ex", ["Value"])
    assert made.count(HOLE) == 5 and 'f"Value({self.data})"' in made
    assert '__slots__ = ("data", "grad")' in made and "count: int = 0" in made


def test_a_class_whose_methods_all_come_later():
    text = "class A:\n    def f(self):\n        return 1\n"
    made = Cutter(text, {"one": ["A", "g"], "two": ["A.f"]} | {"one": ["A"]}).cell("one", ["A"])
    ast.parse(made)
    assert "def f" not in made


def test_solved_and_grown_is_the_class(monkeypatch):
    from ladder.notebook import method_of

    text = source(CLASS).replace("@dataclass\n", "").replace("(Base)", "").replace('"data", "grad"', "")
    text = text.replace("    __slots__ = ()\n", "").replace("    count: int = 0\n", "")
    cutter = Cutter(text, GROWING)
    names = {"method_of": method_of}
    for exercise in GROWING:
        exec(cutter.cell(exercise, ["Value"], solved=True), names)
    value = names["Value"](3)
    assert (value + names["Value"].zero()).double == 6
    value.backward()
    assert value.grad == 1
    assert names["Value"].backward.__qualname__ == "Value.backward"


def test_static_and_class_methods_can_be_added():
    from ladder.notebook import method_of

    class A: ...

    @method_of(A)
    @staticmethod
    def one():
        return 1

    @method_of(A)
    @classmethod
    def name(cls):
        return cls.__name__

    assert A.one() == 1 and A().name() == "A"


def test_a_method_named_like_a_builtin_leaves_the_builtin_alone():
    from ladder.notebook import method_of

    class A: ...

    names = {"method_of": method_of, "A": A}
    exec("@method_of(A)\ndef sum(self):\n    return 3\n\nbuilt_in = sum([1, 2])", names)
    assert A().sum() == 3 and names["built_in"] == 3


def test_docstrings_are_translated():
    made = cut(FUNCTION, ["f"], docstrings={"f": "任务。\n\n第二段 \\alpha。"})
    assert '    r"""任务。\n\n    第二段 \\alpha。\n    """\n' in made
    assert "In two paragraphs" not in made


@given(st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n\"'\\"), max_size=40))
def test_any_docstring_is_python(text):
    if not text.strip():
        return
    try:
        quoted = quote(text, "    ")
    except LessonError:
        assert '"""' in text and "'''" in text
        return
    made = ast.parse(f"def f():\n{quoted}\n    return 1\n").body[0]
    told = ast.get_docstring(made)
    wanted = text.strip()
    if wanted.startswith('"""') and wanted.endswith('"""') and len(wanted) > 5:
        wanted = wanted[3:-3].strip()
    assert [line.strip() for line in (told or "").strip().split("\n")] == [
        line.strip() for line in wanted.split("\n")]


@pytest.mark.parametrize(("call", "words"), [
    (lambda: cut("x = 1\n", ["y"]), "does not define y"),
    (lambda: cut("x = 1\n", ["x"]), "neither a function nor a class"),
    (lambda: cut("def f():\n    pass\n", ["f"], ["g"]), "does not import"),
    (lambda: cut(FUNCTION, ["f"], ["f", "nothing"]), "does not define nothing"),
    (lambda: Cutter(source(CLASS), {"a": ["Value.nothing"]}), "does not define Value.nothing"),
    (lambda: quote('a """ b \'\'\' c', ""), "both kinds"),
])
def test_errors_say_what_is_wrong(call, words):
    with pytest.raises(LessonError, match=words):
        call()


def test_a_text_left_of_its_method_is_seen():
    text = 'class A:\n    def f(self):\n        return 1\n    def g(self):\n        """Task."""\n' \
           '        return """\nleft\n"""\n'
    cutter = Cutter(text, {"one": ["A.f"], "two": ["A.g"]})
    assert HOLE in cutter.cell("two", ["A"])
    with pytest.raises(LessonError, match="not Python"):
        cutter.cell("two", ["A"], solved=True)


def test_stubs_of_a_whole_source_run_and_raise():
    names: dict = {}
    exec(stub_source(source(FENCED) + "\n\ndef g():\n    return f(1)\n", ["g"]), names)
    with pytest.raises(NotImplementedError):
        names["g"]()
    assert names["f"](1) == 57


def test_a_class_is_cut_method_by_method_in_a_whole_source():
    made = stub_source(source(CLASS), ["Value", "Value.backward"])
    assert made.count(HOLE) == 5 and "Value({self.data})" in made
