"""Checks of means and pairs."""

from ladder.checks import NotChecked, check, say


@check(forbids=("numpy.mean",))
def check_row_mean(row_mean, rng):
    """The mean of each row."""
    A = rng.normal(size=(3, 5))
    yield say("3 rows of 5", "3 行 5 列"), lambda: row_mean(A)
    yield say("a single column", "单独一列"), lambda: row_mean(A[:, :1])
    yield say("whole numbers", "整数"), lambda: row_mean(rng.integers(0, 9, size=(4, 3)))


@check_row_mean.hidden
def _(row_mean, rng):
    secret = rng.normal(size=(7, 2)) + 31415
    yield say("secret-large-offset", "secret-large-offset"), lambda: row_mean(secret)


check_row_mean.mistake(
    say("Which axis runs **along** a row?", "哪个轴沿着一行？"),
    within="row_mean", replace={"axis=1": "axis=0"},
)
check_row_mean.mistake(
    say("What do you divide by?", "除以什么？"), within="row_mean", replace={" / A.shape[1]": ""},
)


@check_row_mean.mistake(say("Every entry counts.", "每个元素都要算。"))
def row_mean(A):
    return A[:, 0]


@check()
def check_norm(Pair, rng):
    """The length of a pair."""
    a, b = rng.normal(size=2)
    yield say("norm of (a, b)", "(a, b) 的长度"), lambda: Pair(a, b).norm()
    yield say("norm of (3, 4)", "(3, 4) 的长度"), lambda: Pair(3.0, 4.0).norm()


check_norm.mistake(
    say("Is it squared still?", "是不是还没开方？"),
    within="Pair.norm", replace={"np.sqrt(self.a**2 + self.b**2)": "self.a**2 + self.b**2"},
)


@check()
def check_add(Pair, rng):
    """Adding two pairs."""
    p, q = Pair(*rng.normal(size=2)), Pair(*rng.normal(size=2))
    yield say("first entry", "第一个数"), lambda: (p + q).a
    yield say("second entry", "第二个数"), lambda: (p + q).b
    yield say("the left operand stays", "左操作数不变"), lambda: ((p + q), p.a, p.b)[1:]


@check_add.mistake(say("Each entry with its own partner.", "各自相加。"), within="Pair.__add__")
def __add__(self, other):
    return type(self)(self.a + other.b, self.b + other.a)


@check()
def check_far(far, rng):
    """Needs a machine that is not here."""
    raise NotChecked(say("needs a far machine", "需要远方的机器"))
    yield
