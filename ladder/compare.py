"""How an observation is compared with the reference's, and how a difference is told.

A comparison returns ``None`` when the two agree, else a :class:`~ladder.text.Text` that says what
differs, where and by how much. Those with ``needs_reference = False`` judge the observation alone.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ladder.text import Text, say
from ladder.wire import Array, decode, encode


@dataclass(frozen=True)
class Tolerance:
    """How far an entry may be from the expected one, with ``largest`` the largest magnitude there:

    ``rtol * |entry| + max(floor, atol * min(1, largest)) + noise * largest``

    ``atol`` shrinks with small arrays, so that zeros do not pass for small numbers; ``floor`` is
    what is left of numbers near 1 that should cancel. ``noise`` (some units in the last place)
    grows with large arrays, slowly, so that one huge entry does not hide errors in the others.
    """

    rtol: float
    atol: float
    floor: float
    noise: float


TOLERANCES = {
    "float64": Tolerance(1e-7, 1e-9, 1e-12, 4e-15),
    "float32": Tolerance(2e-4, 2e-5, 2e-6, 2e-6),
    "float16": Tolerance(1e-2, 2e-3, 5e-4, 2e-3),
    "bfloat16": Tolerance(4e-2, 1e-2, 4e-3, 1e-2),
}
TOLERANCES |= {
    "complex128": TOLERANCES["float64"],
    "complex64": TOLERANCES["float32"],
    "complex32": TOLERANCES["float16"],
}
EXACT = Tolerance(0.0, 0.0, 0.0, 0.0)
_COARSENESS = ("float64", "complex128", "complex64", "float32", "complex32", "float16", "bfloat16")
_SINGLE = "float32"


@dataclass(frozen=True)
class Comparison:
    """Base of all comparisons."""

    needs_reference = True

    def difference(self, actual: Any, expected: Any) -> Text | None:
        """What differs between the decoded ``actual`` and ``expected``, or None."""
        raise NotImplementedError

    def matches(self, actual: Any, expected: Any) -> bool:
        return self.difference(actual, expected) is None


@dataclass(frozen=True)
class Close(Comparison):
    """Numbers equal up to rounding in the coarser of the two precisions; structure exactly.

    Half precision counts as such only where the reference has it too: nobody gains tolerance by
    rounding an answer. ``rtol`` and ``atol``, where given, mean what they say, as in NumPy.
    """

    scale: float = 1.0
    rtol: float | None = None
    atol: float | None = None

    def difference(self, actual: Any, expected: Any) -> Text | None:
        return _walk(actual, expected, self._leaf, "")

    def _leaf(self, actual: Array, expected: Array, where: str) -> Text | None:
        return close_arrays(actual, expected, where, self.scale, self.rtol, self.atol)


@dataclass(frozen=True)
class Exactly(Comparison):
    """Equal in every digit (integers, text, booleans); 1 and 1.0 count as equal."""

    def difference(self, actual: Any, expected: Any) -> Text | None:
        return _walk(
            actual, expected,
            lambda a, e, where: close_arrays(a, e, where, 0.0, 0.0, 0.0), "",
        )


@dataclass(frozen=True)
class Choice(Comparison):
    """The right letter of a quiz; a wrong one is not told which would have been right."""

    def difference(self, actual: Any, expected: Any) -> Text | None:
        if type(actual) is type(expected) and actual == expected:
            return None
        return say(f"{_show(actual)} is not the answer", f"{_show(actual)} 不是正确答案")


@dataclass(frozen=True)
class SameSet(Comparison):
    """The same items, in any order, each as often."""

    def difference(self, actual: Any, expected: Any) -> Text | None:
        actual = _unstack(actual) if isinstance(actual, Array) else actual
        expected = _unstack(expected) if isinstance(expected, Array) else expected
        if not isinstance(actual, list) or not isinstance(expected, list):
            return say("expected a collection of items", "这里应当是一组元素")
        ours, theirs = Counter(map(_key, actual)), Counter(map(_key, expected))
        missing, extra = list((theirs - ours).elements()), list((ours - theirs).elements())
        if not missing and not extra:
            return None
        return say(
            f"{len(missing)} items missing{_few(missing)}, {len(extra)} too many{_few(extra)}",
            f"缺少 {len(missing)} 项{_few(missing)}，多出 {len(extra)} 项{_few(extra)}",
        )


@dataclass(frozen=True)
class AtLeast(Comparison):
    """Every number is at least ``bound``."""

    bound: float = 0.0
    needs_reference = False

    def difference(self, actual: Any, expected: Any = None) -> Text | None:
        worst = _number(actual, np.min)
        if worst is None:
            return _not_a_number(actual)
        if worst >= self.bound:
            return None
        return say(f"{worst:.6g}, must be at least {self.bound:g}",
                   f"得到 {worst:.6g}，应当不小于 {self.bound:g}")


@dataclass(frozen=True)
class AtMost(Comparison):
    """Every number is at most ``bound``."""

    bound: float = 0.0
    needs_reference = False

    def difference(self, actual: Any, expected: Any = None) -> Text | None:
        worst = _number(actual, np.max)
        if worst is None:
            return _not_a_number(actual)
        if worst <= self.bound:
            return None
        return say(f"{worst:.6g}, must be at most {self.bound:g}",
                   f"得到 {worst:.6g}，应当不大于 {self.bound:g}")


@dataclass(frozen=True)
class Finite(Comparison):
    """No NaN and no infinity."""

    needs_reference = False

    def difference(self, actual: Any, expected: Any = None) -> Text | None:
        array = _numbers(actual)
        if array is None:
            return _not_a_number(actual)
        bad = int(np.sum(~np.isfinite(array)))
        if not array.size:
            return _not_a_number(actual)
        if not bad:
            return None
        return say(f"{bad} of {array.size} numbers are NaN or infinite",
                   f"{array.size} 个数中有 {bad} 个是 NaN 或无穷大")


@dataclass(frozen=True)
class AccuracyAtLeast(Comparison):
    """Predicted classes, compared outside the learner's process with the true ``labels``."""

    labels: Any = None
    bound: float = 0.0
    needs_reference = False

    def difference(self, actual: Any, expected: Any = None) -> Text | None:
        predicted, labels = _numbers(actual), np.asarray(self.labels)
        if predicted is None or not predicted.size:
            return _not_a_number(actual)
        if predicted.shape != labels.shape:
            return _shapes(predicted.shape, labels.shape, "")
        accuracy = float(np.mean(predicted == labels))
        if accuracy >= self.bound:
            return None
        return say(f"accuracy {accuracy:.4f}, must be at least {self.bound:g}",
                   f"准确率为 {accuracy:.4f}，应当不低于 {self.bound:g}")


@dataclass(frozen=True)
class ErrorAtMost(Comparison):
    """Predictions whose mean squared (or ``worst=True``: largest) error to ``target`` is bounded."""

    target: Any = None
    bound: float = 0.0
    worst: bool = False
    needs_reference = False

    def difference(self, actual: Any, expected: Any = None) -> Text | None:
        predicted, target = _numbers(actual), np.asarray(self.target, dtype=float)
        if predicted is None or not predicted.size:
            return _not_a_number(actual)
        if predicted.shape != target.shape:
            return _shapes(predicted.shape, target.shape, "")
        with np.errstate(all="ignore"):
            gap = np.abs(predicted - target)
            error = float(np.max(gap) if self.worst else np.mean(gap**2))
        if error <= self.bound:
            return None
        en, zh = ("largest error", "最大误差") if self.worst else ("mean squared error", "均方误差")
        return say(f"{en} {error:.4g}, must be at most {self.bound:g}",
                   f"{zh}为 {error:.4g}，应当不大于 {self.bound:g}")


@dataclass(frozen=True)
class Raises(Comparison):
    """Raises an error of the named class (or a subclass) instead of returning."""

    names: tuple[str, ...] = field(default=())
    needs_reference = False

    def difference(self, actual: Any, expected: Any = None) -> Text | None:
        wanted = " / ".join(self.names)
        return say(f"must raise {wanted}, but returned a value",
                   f"这里应当抛出 {wanted}，实际却返回了一个值")


def close_arrays(
    actual: Array, expected: Array, where: str, scale: float,
    rtol: float | None = None, atol: float | None = None,
) -> Text | None:
    """Compare two arrays; the message names the worst entry."""
    a, e = actual.values, expected.values
    if a.shape != e.shape:
        return _shapes(a.shape, e.shape, where)
    if a.size == 0:
        return None
    wrong, gap = _wrong(a, e, _tolerance(actual.precision, expected.precision), scale, rtol, atol)
    if not wrong.any():
        return None
    at = np.unravel_index(int(np.argmax(np.where(wrong, gap, -1.0))), a.shape)
    index = f"[{', '.join(str(int(i)) for i in at)}]" if at else ""
    place = f" {where}{index}".rstrip() if where or index else ""
    got, want = _show(actual.values[at]), _show(expected.values[at])
    if a.size == 1:
        return say(f"got{place and place + ' ='} {got}, expected {want}",
                   f"得到{place and place + ' ='} {got}，应为 {want}")
    turned = a.ndim == 2 and a.shape[0] == a.shape[1] and not _wrong(
        a.T, e, _tolerance(actual.precision, expected.precision), scale, rtol, atol)[0].any()
    return say(
        f"{int(wrong.sum())} of {a.size} entries differ; worst at{place}: got {got}, expected {want}"
        + ("; transposed, it would be right" if turned else ""),
        f"{a.size} 个元素中有 {int(wrong.sum())} 个不同；差别最大处{place}：得到 {got}，应为 {want}"
        + ("；转置之后就对了" if turned else ""),
    )


def _wrong(
    a: np.ndarray, e: np.ndarray, allowed: Tolerance, scale: float,
    rtol: float | None, atol: float | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Which entries differ by more than is allowed, and by how much all differ."""
    kinds = a.dtype.kind + e.dtype.kind
    with np.errstate(all="ignore"):
        if "f" not in kinds and "c" not in kinds:
            wrong = np.asarray(a.astype(object) != e.astype(object), dtype=bool)
            return wrong, np.where(wrong, 1.0, 0.0)
        a, e = _wide(a), _wide(e)
        size = np.abs(e)
        largest = float(np.max(size, where=np.isfinite(size), initial=0.0))
        absolute = max(allowed.floor, allowed.atol * min(1.0, largest))
        limit = (
            (scale * absolute if atol is None else atol)
            + (scale * allowed.rtol if rtol is None else rtol) * size
            + scale * allowed.noise * largest
        )
        gap = np.abs(a - e)
        same = (a == e) | (np.isnan(a) & np.isnan(e))
        wrong = ~same & ~(np.isfinite(size) & (gap <= limit))
        return wrong, np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))


def _tolerance(actual: str, expected: str) -> Tolerance:
    """That of the coarser precision, but half precision only where the reference is in it."""
    if _coarseness(actual) > _coarseness(_SINGLE):
        actual = max(_SINGLE, expected, key=_coarseness)
    return TOLERANCES.get(max(actual, expected, key=_coarseness), EXACT)


def _wide(array: np.ndarray) -> np.ndarray:
    """Double precision; an integer too large for it counts as infinite."""
    if array.dtype.kind == "c":
        return array.astype(np.complex128)
    if array.dtype.kind != "O":
        return array.astype(np.float64)
    return np.array([_as_float(n) for n in array.flat], dtype=np.float64).reshape(array.shape)


def _as_float(number: Any) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def _walk(actual: Any, expected: Any, leaf: Any, where: str) -> Text | None:
    """Compare two decoded structures, numbers by ``leaf``."""
    if isinstance(expected, list) and isinstance(actual, Array):
        actual = _unstack(actual)
    if isinstance(expected, Array) and isinstance(actual, list):
        actual = _stack(actual) or actual
    if isinstance(expected, list) or isinstance(actual, list):
        if not (isinstance(expected, list) and isinstance(actual, list)):
            return _kinds(actual, expected, where)
        if len(actual) != len(expected):
            return say(f"{len(actual)} items{_at(where)}, expected {len(expected)}",
                       f"{_at(where, 'zh')}有 {len(actual)} 项，应为 {len(expected)} 项")
        parts = ((f"{where}[{i}]", a, e) for i, (a, e) in enumerate(zip(actual, expected, strict=True)))
    elif isinstance(expected, dict) or isinstance(actual, dict):
        if not (isinstance(expected, dict) and isinstance(actual, dict)):
            return _kinds(actual, expected, where)
        if set(actual) != set(expected):
            missing = sorted(map(str, set(expected) - set(actual)))
            extra = sorted(map(str, set(actual) - set(expected)))
            return say(f"keys{_at(where)}: missing {missing}, unexpected {extra}",
                       f"字典的键{_at(where, 'zh')}：缺少 {missing}，多出 {extra}")
        parts = ((f"{where}[{k!r}]", actual[k], e) for k, e in expected.items())
    elif isinstance(expected, str) or isinstance(actual, str) or expected is None or actual is None:
        if type(actual) is type(expected) and actual == expected:
            return None
        return say(f"got {_show(actual)}{_at(where)}, expected {_show(expected)}",
                   f"{_at(where, 'zh')}得到 {_show(actual)}，应为 {_show(expected)}")
    else:
        return leaf(_leaf_array(actual), _leaf_array(expected), where)
    for place, a, e in parts:
        if (found := _walk(a, e, leaf, place)) is not None:
            return found
    return None


def _leaf_array(value: Any) -> Array:
    if isinstance(value, Array):
        return value
    array = np.asarray(value)
    return Array(array, "float64" if array.dtype.kind == "f" else array.dtype.name)


def _stack(items: list) -> Array | None:
    """A nested list of numbers where the reference gives an array: read it as that array."""
    def plain(item: Any) -> Any:
        if isinstance(item, Array):
            return item.values
        return [plain(part) for part in item] if isinstance(item, list) else item
    try:
        array = np.asarray(plain(items))
    except ValueError:
        return None
    return Array(array, array.dtype.name) if array.dtype.kind in "biufc" else None


def _unstack(array: Array) -> list | Array:
    """An array where the reference gives a list: read it as the list of its rows."""
    if array.values.ndim == 0:
        return array
    return [Array(np.asarray(row), array.precision) for row in array.values]


def _coarseness(precision: str) -> int:
    return _COARSENESS.index(precision) if precision in _COARSENESS else -1


def _numbers(value: Any) -> np.ndarray | None:
    if isinstance(value, list):
        value = _stack(value)
    if isinstance(value, (Array, bool, int, float)):
        array = _leaf_array(value).values
        array = _wide(array) if array.dtype.kind == "O" else array
        return array if array.dtype.kind in "biuf" else None
    return None


def _number(value: Any, worst: Any) -> float | None:
    array = _numbers(value)
    if array is None or array.size == 0 or not np.isfinite(array.astype(float)).all():
        return None
    return float(worst(array))


def _key(item: Any) -> str:
    if isinstance(item, Array):
        item = item.values.tolist()
    if isinstance(item, list):
        return f"({', '.join(map(_key, item))})"
    if isinstance(item, dict):
        return f"{{{', '.join(sorted(f'{_key(k)}: {_key(v)}' for k, v in item.items()))}}}"
    if isinstance(item, float) and item.is_integer():
        item = int(item)  # 1 and 1.0 are the same number, as in Python's own sets
    return repr(item)


def _few(items: list) -> str:
    return f" ({', '.join(items[:3])}{', …' if len(items) > 3 else ''})" if items else ""


def _at(where: str, language: str = "en") -> str:
    if not where:
        return ""
    return f" at {where}" if language == "en" else f"{where} 处"


def _show(value: Any) -> str:
    if isinstance(value, Array):
        if value.values.size == 1:
            return _show(value.values.reshape(-1)[0])
        return f"an array of shape {value.values.shape}"
    if isinstance(value, (float, np.floating)):
        return f"{float(value):.7g}"
    if isinstance(value, np.generic):
        value = value.item()
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _kinds(actual: Any, expected: Any, where: str) -> Text:
    return say(f"got {_kind(actual)[0]}{_at(where)}, expected {_kind(expected)[0]}",
               f"{_at(where, 'zh')}得到{_kind(actual)[1]}，应为{_kind(expected)[1]}")


def _kind(value: Any) -> tuple[str, str]:
    if isinstance(value, list):
        return f"a list or tuple of {len(value)} items", f"含 {len(value)} 项的列表或元组"
    if isinstance(value, dict):
        return f"a dict of {len(value)} items", f"含 {len(value)} 项的字典"
    if isinstance(value, Array):
        return f"an array of shape {value.values.shape}", f"形状为 {value.values.shape} 的数组"
    return _show(value), f" {_show(value)}"


def _shapes(actual: tuple, expected: tuple, where: str) -> Text:
    turned = len(actual) > 1 and actual == expected[::-1]
    return say(f"shape {actual}{_at(where)}, expected {expected}{': transposed?' if turned else ''}",
               f"{_at(where, 'zh')}形状为 {actual}，应为 {expected}{'：是否转置了？' if turned else ''}")


def _not_a_number(actual: Any) -> Text:
    return say(f"expected finite numbers, got {_kind(actual)[0]} (or NaN)",
               f"这里应当是有限的数，得到的是{_kind(actual)[1]}（或 NaN）")


def plain(value: Any) -> Any:
    """``value`` as it looks after crossing the border; used where both sides are at hand."""
    return decode(encode(value))
