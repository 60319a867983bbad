"""How an observation is compared with the reference's, and how a difference is told.

A comparison returns ``None`` when the two agree, else a :class:`~ladder.text.Text` that says what
differs, where and by how much. Those with ``needs_reference = False`` judge the observation alone.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ladder.text import Text, say
from ladder.wire import Array, decode, encode

# rtol is relative to the expected entry, atol to the largest expected magnitude (at least 1).
TOLERANCES = {
    "float64": (1e-7, 1e-9),
    "float32": (2e-4, 2e-5),
    "float16": (1e-2, 2e-3),
    "bfloat16": (4e-2, 1e-2),
    "complex128": (1e-7, 1e-9),
    "complex64": (2e-4, 2e-5),
}
_COARSENESS = ["float64", "complex128", "complex64", "float32", "float16", "bfloat16"]


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
    """Numbers equal up to rounding in the coarser of the two precisions; structure exactly."""

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
        if predicted is None:
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
        if predicted is None:
            return _not_a_number(actual)
        if predicted.shape != target.shape:
            return _shapes(predicted.shape, target.shape, "")
        gap = predicted - target
        error = float(np.max(np.abs(gap)) if self.worst else np.mean(gap**2))
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
    coarser = max(actual.precision, expected.precision, key=_coarseness)
    table_rtol, table_atol = TOLERANCES.get(coarser, (0.0, 0.0))
    rtol = scale * table_rtol if rtol is None else rtol
    atol = scale * table_atol if atol is None else atol
    wide = np.complex128 if "c" in (a.dtype.kind, e.dtype.kind) else (
        np.float64 if "f" in (a.dtype.kind, e.dtype.kind) else object)
    with np.errstate(all="ignore"):
        a, e = a.astype(wide), e.astype(wide)
        if wide is object:
            wrong = a != e
            gap = np.where(wrong, 1.0, 0.0)
        else:
            finite = e[np.isfinite(e)]
            unit = max(1.0, float(np.max(np.abs(finite)))) if finite.size else 1.0
            gap = np.abs(a - e)
            same = (a == e) | (np.isnan(a) & np.isnan(e))
            wrong = ~(same | (gap <= atol * unit + rtol * np.abs(e)))
            gap = np.where(same, 0.0, np.where(np.isnan(gap), np.inf, gap))
    if not wrong.any():
        return None
    at = np.unravel_index(int(np.argmax(np.where(wrong, gap, -1.0))), a.shape)
    index = f"[{', '.join(str(int(i)) for i in at)}]" if at else ""
    place = f" {where}{index}".rstrip() if where or index else ""
    got, want = _show(actual.values[at]), _show(expected.values[at])
    if a.size == 1:
        return say(f"got{place and place + ' ='} {got}, expected {want}",
                   f"得到{place and place + ' ='} {got}，应为 {want}")
    return say(
        f"{int(wrong.sum())} of {a.size} entries differ; worst at{place}: got {got}, expected {want}",
        f"{a.size} 个元素中有 {int(wrong.sum())} 个不同；差别最大处{place}：得到 {got}，应为 {want}",
    )


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
        return array if array.dtype.kind in "biuf" else None
    return None


def _number(value: Any, worst: Any) -> float | None:
    array = _numbers(value)
    if array is None or array.size == 0 or np.isnan(array.astype(float)).any():
        return None
    return float(worst(array))


def _key(item: Any) -> str:
    if isinstance(item, Array):
        item = item.values.tolist()
    if isinstance(item, list):
        return f"({', '.join(map(_key, item))})"
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
    return say(f"shape {actual}{_at(where)}, expected {expected}",
               f"{_at(where, 'zh')}形状为 {actual}，应为 {expected}")


def _not_a_number(actual: Any) -> Text:
    return say(f"expected finite numbers, got {_kind(actual)[0]} (or NaN)",
               f"这里应当是有限的数，得到的是{_kind(actual)[1]}（或 NaN）")


def plain(value: Any) -> Any:
    """``value`` as it looks after crossing the border; used where both sides are at hand."""
    return decode(encode(value))
