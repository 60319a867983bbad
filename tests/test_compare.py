"""Comparisons accept rounding, and nothing that a learner would call wrong."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ladder import checks
from ladder.compare import plain

close, exactly = checks.close(), checks.exactly()
FLOATS = ("float16", "float32", "float64")


def tell(comparison, actual, expected=None):
    """The difference in English, or None; both languages are always there."""
    found = comparison.difference(plain(actual), plain(expected))
    if found is not None:
        assert found.en and found.zh
    return None if found is None else found.en


arrays = hnp.arrays(st.sampled_from(["float64", "float32", "float16", "int64", "bool", "complex64"]),
                    hnp.array_shapes(min_dims=0, max_side=4))


@given(arrays)
def test_everything_equals_itself(array):
    assert tell(close, array, array) is None
    assert tell(exactly, array, array) is None
    assert tell(close, array.tolist(), array.tolist()) is None


@given(hnp.arrays("float64", hnp.array_shapes(max_side=4),
                  elements=st.floats(-1e6, 1e6, allow_subnormal=False)))
def test_zeros_never_pass_for_something(array):
    assume(np.abs(array).max() > 1e-11)
    assert tell(close, np.zeros_like(array), array)


@pytest.mark.parametrize(("dtype", "size"), [
    *[("float64", size) for size in (1e-11, 1e-6, 1.0, 1e6, 1e12)],
    *[("float32", size) for size in (1e-5, 1.0, 1e6, 1e12)],
    *[("float16", size) for size in (2e-3, 1.0, 6e4)],
])
def test_zeros_do_not_pass_for_small_or_large_numbers(dtype, size):
    expected = np.array([size, -size / 2, 0.0], dtype=dtype)
    assert tell(close, np.zeros(3, dtype), expected)
    assert tell(close, expected * np.array(0.5, dtype), expected)


def test_noise_where_numbers_cancel_is_zero():
    assert tell(close, np.zeros(3), np.array([2e-17, -1e-16, 3e-15])) is None
    assert tell(close, np.float32(0), np.float32(3e-7)) is None


@pytest.mark.parametrize(("dtype", "within", "beyond"), [
    ("float64", 1e-8, 1e-5), ("float32", 1e-5, 5e-3), ("float16", 2e-3, 0.05)])
def test_tolerance_by_dtype(dtype, within, beyond):
    expected = np.linspace(1, 2, 5).astype(dtype)
    assert tell(close, (expected.astype(float) * (1 + within)).astype(dtype), expected) is None
    assert tell(close, (expected.astype(float) * (1 + beyond)).astype(dtype), expected)


def test_bfloat16_is_the_coarsest():
    expected = torch.linspace(1, 2, 5).bfloat16()
    assert tell(close, (expected.float() * 1.02).bfloat16(), expected) is None
    assert tell(close, (expected.float() * 1.2).bfloat16(), expected)
    assert tell(close, expected.float() * 1.02, expected) is None


@pytest.mark.parametrize("coarse", ["float32", "float16"])
def test_the_coarser_precision_wins_up_to_single(coarse):
    expected = np.array([1 / 3, 2 / 3])
    assert tell(close, np.float32(expected), expected) is None
    if coarse == "float16":  # an answer rounded to half precision gains no tolerance
        assert tell(close, np.float16(expected), expected)
        assert tell(close, np.float16(expected), np.float32(expected))
        assert tell(close, torch.tensor([100.7]).bfloat16(), np.array([100]))
    assert tell(close, np.float32(expected), np.float16(expected)) is None


def test_one_huge_entry_does_not_hide_the_others():
    assert tell(close, [1e9, 1.5], [1e9, 1.0])
    assert tell(close, np.array([1e9, 1.001]), np.array([1e9, 1.0]))
    assert tell(close, np.array([1e9, 0.0]), np.array([1e9, 1.0]))
    assert tell(close, np.array([1e6, 1.1e2], "float32"), np.array([1e6, 1e2], "float32"))


def test_cancellation_beside_large_entries_is_rounding():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 300)) * 1e3, rng.normal(size=(300, 50)) * 1e3
    for dtype in ("float64", "float32"):
        x, y = a.astype(dtype), b.astype(dtype)
        assert tell(close, sum(np.outer(x[:, k], y[k]) for k in range(300)), x @ y) is None
        assert tell(close, (x[:, ::-1] @ y[::-1]), x @ y) is None


@pytest.mark.parametrize(("actual", "expected"), [
    (0.0, np.inf), (-np.inf, np.inf), (np.inf, 0.0), (1e308, np.inf), (np.nan, np.inf),
    (np.inf, np.nan), (np.nan, 1.0), (1.0, np.nan), (0, np.inf), (10**400, 1.5), (10**400, np.nan),
])
def test_infinities_and_nan_stay_where_they_are(actual, expected):
    assert tell(close, actual, expected)
    assert tell(close, np.array([1.0, actual], dtype=float if actual != 10**400 else object)
                if actual != 10**400 else [1.0, actual], [1.0, expected])
    assert tell(exactly, actual, expected)


def test_nan_equals_nan_at_the_same_place_only():
    assert tell(close, [1.0, np.nan], [1.0, np.nan]) is None
    assert tell(close, [np.nan, 1.0], [1.0, np.nan])
    assert tell(close, np.full(3, np.nan), np.arange(3.0))
    assert tell(close, complex(np.nan, 0), complex(np.nan, 1)) is None


def test_integers_are_exact_and_equal_their_floats():
    assert tell(close, 3, 3.0) is None
    assert tell(close, np.int64(3), 3) is None
    assert tell(close, 10**20 + 1, 10**20)
    assert tell(close, 2**53 + 1, 2**53)
    assert tell(close, np.array([1, 2, 4]), np.array([1, 2, 3])) == (
        "1 of 3 entries differ; worst at [2]: got 4, expected 3")
    assert tell(close, True, 1) is None
    assert tell(close, True, False)
    assert tell(exactly, 0.1 + 0.2, 0.3)
    assert tell(exactly, 1.0, 1) is None
    assert tell(exactly, np.float32(0.1), np.float64(0.1))
    assert tell(exactly, 10**400, 10**400) is None


def test_lists_tuples_and_arrays_of_one_shape_are_one():
    assert tell(close, (1.0, 2.0), [1.0, 2.0]) is None
    assert tell(close, [1.0, 2.0], np.array([1.0, 2.0])) is None
    assert tell(close, np.array([[1.0, 2.0]]), [[1.0, 2.0]]) is None
    assert tell(close, [torch.tensor([1.0]), torch.tensor([2.0])], np.array([[1.0], [2.0]])) is None
    assert tell(close, [np.zeros(2), np.zeros(3)], [np.zeros(2), np.zeros(3)]) is None
    assert tell(close, [1.0], 1.0) == "got a list or tuple of 1 items, expected 1"
    assert "shape (1,), expected ()" in tell(close, np.array([1.0]), 1.0)
    assert tell(close, [np.zeros(2), np.zeros(3)], np.zeros((2, 3)))
    assert tell(close, [[1, 2], [3]], np.zeros((2, 2)))
    assert tell(close, np.zeros((2, 2)), [[0, 0], [0]]) == "2 items at [1], expected 1"
    assert tell(close, [1, "2"], np.array([1, 2]))
    assert tell(close, [1, None], np.array([1, 2]))
    assert tell(close, [], np.zeros(0)) is None
    assert tell(close, np.zeros(0), [1.0]) == "0 items, expected 1"


def test_shapes_are_named():
    assert tell(close, np.zeros((3, 2)), np.zeros((2, 3))) == (
        "shape (3, 2), expected (2, 3): transposed?")
    assert tell(close, np.zeros((3, 1)), np.zeros(3)) == "shape (3, 1), expected (3,)"
    assert tell(close, np.zeros((0, 3)), np.zeros((0, 2))) == "shape (0, 3), expected (0, 2)"
    assert tell(close, np.zeros((0, 3)), np.zeros((0, 3))) is None
    square = np.arange(9.0).reshape(3, 3)
    assert tell(close, square.T, square).endswith("; transposed, it would be right")
    assert not tell(close, square + 1, square).endswith("right")


def test_the_worst_entry_is_named():
    expected = np.zeros((2, 3)) + 1
    actual = expected.copy()
    actual[0, 1], actual[1, 2] = 1.5, 9
    assert tell(close, actual, expected) == (
        "2 of 6 entries differ; worst at [1, 2]: got 9, expected 1")
    actual[0, 0] = np.nan
    assert "worst at [0, 0]: got nan" in tell(close, actual, expected)
    assert tell(close, {"a": [0.0, 5.0]}, {"a": [0.0, 4.0]}) == "got ['a'][1] = 5, expected 4"
    assert tell(close, 2.0, 3.0) == "got 2, expected 3"


@given(hnp.arrays("float64", (3, 4), elements=st.floats(-10, 10)),
       st.integers(0, 2), st.integers(0, 3), st.floats(0.1, 100))
def test_the_worst_entry_is_the_one_that_was_changed(expected, i, j, by):
    actual = expected.copy()
    actual[i, j] += by
    assert f"1 of 12 entries differ; worst at [{i}, {j}]" in tell(close, actual, expected)


@given(arrays, arrays)
def test_different_shapes_never_pass(actual, expected):
    assume(actual.shape != expected.shape)
    assert tell(close, actual, expected)
    assert tell(exactly, actual, expected)


def test_complex():
    assert tell(close, 1 + 2j, 1 + 2j) is None
    assert tell(close, 1 - 2j, 1 + 2j)
    assert tell(close, np.array([1 + 0j]), np.array([1.0])) is None
    assert tell(close, np.array([1 + 1e-3j]), np.array([1.0]))


def test_text_none_and_kinds():
    assert tell(close, "a", "a") is None
    assert tell(close, "a", "b") == "got 'a', expected 'b'"
    assert tell(close, None, None) is None
    assert tell(close, None, 1.0) == "got None, expected 1"
    assert tell(close, 1.0, None)
    assert tell(close, "1", 1)
    assert tell(close, np.zeros(3), "abc")
    assert tell(close, {}, [])
    assert tell(close, {"a": 1}, 1)
    assert tell(close, np.str_("a"), "a") is None
    assert tell(close, False, None)


def test_dicts_name_their_keys():
    assert tell(close, {"b": 1, "a": 2}, {"a": 2, "b": 1}) is None
    assert tell(close, {"a": 1, "c": 1}, {"a": 1, "b": 1}) == (
        "keys: missing ['b'], unexpected ['c']")
    assert tell(close, {np.int64(3): 1}, {3: 1}) is None


def test_scale_and_explicit_tolerances():
    assert tell(close, 1.000001, 1.0)
    assert tell(checks.close(100), 1.000001, 1.0) is None
    assert tell(checks.close(rtol=1e-3, atol=0), 1.0005, 1.0) is None
    assert tell(checks.close(rtol=0, atol=1e-3), [1e6, 1.0], [1e6, 1.5])
    assert tell(checks.close(rtol=0, atol=1e-3), [1e6, 1.0], [1e6, 1.0005]) is None
    assert tell(checks.close(rtol=0, atol=1e-3), 5.0, np.inf)


def test_same_set():
    same = checks.same_set()
    assert tell(same, [2, 1, 1], [1, 2, 1]) is None
    assert tell(same, {1, 2}, [2, 1]) is None
    assert tell(same, np.array([2, 1]), [1, 2]) is None
    assert tell(same, [(1, 2), (3, 4)], np.array([[3, 4], [1, 2]])) is None
    assert tell(same, [1.0], [1]) is None
    assert tell(same, [{"a": 1, "b": 2}], [{"b": 2, "a": 1}]) is None
    assert "1 items missing (2), 1 too many (1)" in tell(same, [1, 1], [1, 2])
    assert tell(same, ["1"], [1])
    assert tell(same, 5, [5])
    assert tell(same, np.array(5), [5])


def test_choice_does_not_tell():
    choice = checks.choice()
    assert tell(choice, "b", "b") is None
    assert tell(choice, np.str_("b"), "b") is None
    assert "'c'" not in tell(choice, "b", "c")
    assert tell(choice, None, "c")


@pytest.mark.parametrize("comparison", [checks.at_least(0.5), checks.at_most(0.5), checks.finite()])
@pytest.mark.parametrize("value", [
    np.nan, [0.5, np.nan], np.inf, -np.inf, [0.5, np.inf], [], np.zeros((0, 2)), "0.5", None,
    1j, ["a"], {"a": 0.5}, 10**400,
])
def test_thresholds_want_finite_numbers(comparison, value):
    assert tell(comparison, value)


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), [0.5, 0.5], torch.tensor([0.5]), np.array(0.5)])
def test_thresholds_pass_at_the_bound(value):
    for comparison in (checks.at_least(0.5), checks.at_most(0.5), checks.finite()):
        assert tell(comparison, value) is None


def test_thresholds_look_at_the_worst():
    assert tell(checks.at_least(0.5), [0.9, 0.4]) == "0.4, must be at least 0.5"
    assert tell(checks.at_most(0.5), [0.9, 0.4]) == "0.9, must be at most 0.5"
    assert tell(checks.finite(), [1.0, np.nan, np.inf]) == "2 of 3 numbers are NaN or infinite"
    assert tell(checks.at_least(1), True) is None


def test_accuracy():
    accurate = checks.accuracy_at_least(np.array([0, 1, 2, 1]), 0.75)
    assert tell(accurate, np.array([0, 1, 2, 0])) is None
    assert tell(accurate, [0, 1, 2, 1]) is None
    assert tell(accurate, torch.tensor([0.0, 1.0, 2.0, 1.0])) is None
    assert "accuracy 0.5000" in tell(accurate, [0, 1, 0, 0])
    for wrong in (np.zeros((4, 1)), np.zeros(3), 1, [], np.zeros((4, 3)), "0121", None, [np.nan] * 4):
        assert tell(accurate, wrong)
    assert tell(checks.accuracy_at_least([], 0.5), [])


def test_error():
    small = checks.error_at_most(np.array([1.0, 2.0]), 0.01)
    assert tell(small, [1.0, 2.1]) is None
    assert "mean squared error" in tell(small, [1.0, 3.0])
    assert "largest error 1" in tell(checks.error_at_most([1.0, 2.0], 0.5, worst=True), [1.0, 3.0])
    for wrong in (np.zeros((2, 1)), 1.0, [np.nan, 2.0], [np.inf, 2.0], [], None, [1e308, -1e308]):
        assert tell(small, wrong)
    assert tell(checks.error_at_most([], 0.01), [])
    assert tell(checks.error_at_most([], 0.01, worst=True), [])


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | arrays,
                    lambda inner: st.lists(inner, max_size=3)
                    | st.dictionaries(st.text(max_size=2), inner, max_size=3), max_leaves=6),
       st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | arrays,
                    lambda inner: st.lists(inner, max_size=3), max_leaves=6))
def test_no_comparison_raises(actual, expected):
    for comparison in (close, exactly, checks.same_set(), checks.choice(), checks.at_least(0),
                       checks.at_most(0), checks.finite(), checks.accuracy_at_least([1], 0.5),
                       checks.error_at_most([1.0], 0.5)):
        tell(comparison, actual, expected)
