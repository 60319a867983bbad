"""Checks of Day 7: no_grad, detach, version counters, freeing, and predictions of PyTorch."""

from contextlib import suppress

import numpy as np

from ladder.checks import accuracy_at_least, check, exactly, raises, say


def kept(Tensor, program):
    """``program``, with the constructor as it was put back whatever happens."""
    def run():
        init = Tensor.__init__
        try:
            return program()
        finally:
            Tensor.__init__ = init
    return run


def fails(program):
    """The word "error" if ``program`` raises RuntimeError, else "no error"."""
    try:
        program()
    except NotImplementedError:
        raise
    except RuntimeError:
        return "error"
    return "no error"


def mistakes(of, *rows):
    """Register known mistakes: hint in English and Chinese, within, old text, new text."""
    for en, zh, within, old, new in rows:
        of.mistake(say(en, zh), within=within, replace={old: new})


@check(forbids=("torch",))
def check_no_grad(no_grad, Tensor, rng):
    """A block that records nothing."""
    u, v = rng.normal(size=(2, 3)), rng.normal(size=3)

    def inside(look):
        def program():
            a, b = Tensor(u.copy()), Tensor(v.copy())
            with no_grad():
                return look(a, b)
        return kept(Tensor, program)

    def facts(t):
        return [t.requires_grad, len(t._prev), t._backward is None, t.grad is None, t.data]

    yield (say("a * b in the block: requires_grad, operands, no _backward, no grad, value",
               "块内的 a * b：requires_grad、操作数个数、没有 _backward、没有 grad、值"),
           inside(lambda a, b: facts(a * b)))
    yield (say("(a @ b).tanh().sum() in the block", "块内的 (a @ b).tanh().sum()"),
           inside(lambda a, b: facts((a @ b).tanh().sum())))
    yield (say("a leaf made in the block", "块内新建的叶子"),
           inside(lambda a, b: [Tensor(v.copy()).requires_grad, Tensor(v.copy()).grad,
                                Tensor(1.0, requires_grad=False).requires_grad]))

    def earlier():
        a = Tensor(u.copy())
        loss = (a * a).sum()
        with no_grad():
            loss.backward()
        return a.grad

    def nested():
        a, seen = Tensor(u.copy()), []
        with no_grad():
            with no_grad():
                seen.append((a * a).requires_grad)
            seen.append((a * a).requires_grad)
        return [*seen, (a * a).requires_grad]

    def after():
        init, a = Tensor.__init__, Tensor(u.copy())
        with no_grad():
            a * a
        (a * a).sum().backward()
        return [Tensor.__init__ is init, a.grad]

    def leave():
        with no_grad():
            raise KeyError("left")

    def left():
        init = Tensor.__init__
        with suppress(KeyError):
            leave()
        return [Tensor.__init__ is init, (Tensor(u.copy()) * 2.0).requires_grad]

    yield (say("backward in the block, of a graph from before it", "在块内对块前记录的图做 backward"),
           kept(Tensor, earlier))
    yield (say("requires_grad of a result: inner block, outer block, after both",
               "结果的 requires_grad：内层块中、外层块中、两层之后"), kept(Tensor, nested))
    yield (say("after the block: the constructor, and a gradient", "块之后：构造函数，以及一个梯度"),
           kept(Tensor, after))
    yield (say("an exception in the block goes on", "块内的异常继续向外传播"),
           kept(Tensor, leave), raises(KeyError))
    yield say("after a block left by an exception", "块因异常而退出之后"), kept(Tensor, left)


mistakes(
    check_no_grad,
    ("A block left by an exception leaves recording switched off for good. Which statement of Python "
     "runs its last part in any case?",
     "块因异常而退出后，记录就一直关着了。Python 的哪种语句无论如何都会执行最后一段？", "no_grad",
     "    try:\n        yield\n    finally:\n        Tensor.__init__ = init",
     "    yield\n    Tensor.__init__ = init"),
    ("Leaves made in the block no longer require a gradient. How does the constructor tell a leaf from "
     "a result?", "块内新建的叶子也不需要梯度了。构造函数怎样区分叶子与结果？", "no_grad",
     "requires_grad and not _prev", "False"),
    ("The end of an inner block switches recording on although the outer one still runs. What should be "
     "put back: the original, or what was there on entry?",
     "内层块结束时就恢复了记录，而外层块还没有结束。应当放回的是最初的，还是进入时的那个？", "no_grad",
     "    init = Tensor.__init__",
     "    init = getattr(Tensor, '_first', Tensor.__init__)\n    Tensor._first = init"),
    ("An exception in the block disappears. Cleaning up is asked for, catching is not.",
     "块内的异常消失了。要做的是清理，而不是捕获。", "no_grad",
     "    finally:", "    except Exception:\n        pass\n    finally:"),
    ("The result still knows its operands, and so requires a gradient: what the constructor is not "
     "given, it cannot keep.", "结果仍记着操作数，因而还需要梯度：不交给构造函数的，它就留不住。", "no_grad",
     "init(self, data, requires_grad and not _prev)", "init(self, data, requires_grad, _prev)"),
)


@check(forbids=("torch",))
def check_detach(detach, version, Tensor, rng):
    """The same memory outside the graph."""
    u = rng.normal(size=(2, 3))

    def detached(look):
        def program():
            a = Tensor(u.copy())
            y = a * 3.0
            return look(a, y, detach(y))
        return program

    def counted(a, y, d):
        version(d)[0] += 1
        version(y)[0] += 1
        return [version(y) is version(d), list(version(y)), list(version(d))]

    def through():
        a = Tensor(u.copy())
        (a * detach(a)).sum().backward()
        return a.grad

    def original(a, y, d):
        y.sum().backward()
        return [y.requires_grad, d is y, a.grad]

    yield say("the value", "值"), detached(lambda a, y, d: d.data)
    yield (say("a leaf that does not require a gradient", "不需要梯度的叶子"),
           detached(lambda a, y, d: [d.requires_grad, len(d._prev), d.grad is None]))
    yield (say("its data is the very array", "data 就是原来的那个数组"),
           detached(lambda a, y, d: d.data is y.data))
    yield (say("one version counter for both, changed through either",
               "两者共用一个版本计数器，从任一方修改"), detached(counted))
    yield say("gradient of sum a detach(a)", "sum a detach(a) 的梯度"), through
    yield (say("the Tensor itself stays in its graph", "原来的 Tensor 仍在它的图中"),
           detached(original))


mistakes(
    check_detach,
    ("The array is copied: a change through the one is not seen through the other.",
     "数组被复制了：从一方做的修改，另一方看不到。", "detach",
     "result.data = t.data", "result.data = t.data.copy()"),
    ("Both share memory, but each counts for itself: a change through the one goes unnoticed by the "
     "other.", "两者共享内存，却各数各的：从一方做的修改，另一方不会察觉。", "detach",
     "    result._version = version(t)\n", ""),
    ("The new leaf still has a place for a gradient: what must its `requires_grad` be?",
     "新叶子还留着放梯度的地方：它的 `requires_grad` 应当是什么？", "detach",
     "requires_grad=False", "requires_grad=True"),
)


@check_detach.mistake(
    say("This cuts the Tensor itself out of its graph, which is PyTorch's `detach_`. A new one is asked "
        "for.", "这样切断的是原 Tensor 自身，那是 PyTorch 的 `detach_`。这里要的是一个新的 Tensor。"))
def detach(t):
    t.requires_grad, t.grad, t._prev, t._backward = False, None, (), None
    return t


@check(forbids=("torch",))
def check_inplace(add_, mul_, version, no_grad, Tensor, rng):
    """Two in-place operations that count."""
    u, w, row = rng.normal(size=(2, 3)), rng.normal(size=(2, 3)), rng.normal(size=3)
    for name, change in (("add_(t, row)", lambda t: add_(t, row.copy())),
                         ("mul_(t, -2.5)", lambda t: mul_(t, -2.5))):
        def constant(change=change):
            t = Tensor(u.copy(), requires_grad=False)
            array, returned = t.data, change(t)
            return [t.data, t.data is array, returned is t]

        def counts(change=change):
            t = Tensor(u.copy(), requires_grad=False)
            return [change(t) is t and version(t)[0], change(t) is t and version(t)[0]]

        def refused(change=change):
            t = Tensor(u.copy())
            return [fails(lambda: change(t)), t.data, version(t)[0]]

        def allowed(change=change):
            t = Tensor(u.copy())
            with no_grad():
                change(t)
            return [t.data, version(t)[0], t.requires_grad]

        def gradient(change=change, recorded=True):
            a = Tensor(u.copy())
            y = a * w
            if recorded:
                change(change(y))
            else:
                with no_grad():
                    change(y)
            y.sum().backward()
            return [y.data, version(y)[0], a.grad]

        yield (say(f"{name}: new entries, the same array, t returned",
                   f"{name}：新的元素，同一个数组，返回 t"), constant)
        yield say(f"{name} twice: versions", f"{name} 两次：版本号"), counts
        yield (say(f"{name} of a leaf that requires a gradient: error, data and version afterwards",
                   f"对需要梯度的叶子做 {name}：报错，之后的数据与版本号"), refused)
        yield (say(f"{name} of such a leaf under no_grad", f"在 no_grad 下对这样的叶子做 {name}"),
               kept(Tensor, allowed))
        yield (say(f"y = a * w, {name} of y twice: y, its version, the gradient of a",
                   f"y = a * w，对 y 做两次 {name}：y、它的版本号、a 的梯度"), gradient)
        yield (say(f"y = a * w, {name} of y under no_grad: the gradient of a stays",
                   f"y = a * w，在 no_grad 下对 y 做 {name}：a 的梯度不变"),
               kept(Tensor, lambda gradient=gradient: gradient(recorded=False)))


mistakes(
    check_inplace,
    ("`add_` makes a new array. Whoever shares the old memory does not see the change.",
     "`add_` 生成了新数组。共享旧内存的人看不到这次修改。",
     "add_", "t.data += value", "t.data = t.data + value"),
    ("`add_` changes the memory without counting.", "`add_` 修改了内存，却没有计数。",
     "add_", "    version(t)[0] += 1\n", ""),
    ("`add_` refuses the leaf under no_grad too. Then no optimiser could ever change a weight.",
     "`add_` 在 no_grad 下也拒绝修改叶子。那样优化器就永远改不了权重。",
     "add_", " and is_grad_enabled()", ""),
    ("After `mul_` the gradient is that of the old value. y = c f(a) changed by mul_: what is dy/da?",
     "`mul_` 之后，梯度仍是旧值的梯度。经 mul_ 后 y = c f(a)，dy/da 是多少？",
     "mul_", "before(grad * factor)", "before(grad)"),
    ("Under no_grad `mul_` still changes `_backward`: nothing must be recorded there.",
     "在 no_grad 下 `mul_` 仍改动了 `_backward`：那里不应记录任何东西。",
     "mul_", "before is not None and is_grad_enabled()", "before is not None"),
    ("`mul_` refuses every Tensor that requires a gradient, results too. Only a leaf is refused.",
     "`mul_` 拒绝了所有需要梯度的 Tensor，连运算结果也拒绝。应当拒绝的只有叶子。",
     "mul_", " and not t._prev", ""),
)


@check(forbids=("torch",))
def check_save(save, version, Tensor, rng):
    """An operation that notices a change of what it saved."""
    u, w = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))

    def guarded(look, before=0):
        def program():
            a, b = Tensor(u.copy()), Tensor(w.copy())
            version(b)[0] += before
            y = a * b
            return look(save(y, b, y), y, a, b)
        return program

    def bumped(which, by=1, before=0):
        def look(s, y, a, b):
            version({"a": a, "b": b, "y": y}[which])[0] += by
            return [fails(lambda: y._backward(np.ones((2, 3)))), a.grad, b.grad]
        return guarded(look, before)

    def freed(s, y, a, b):
        y._saved = None
        return [fails(lambda: y._backward(np.ones((2, 3)))), a.grad]

    def constant():
        c = Tensor(u.copy(), requires_grad=False)
        y = c * 2.0
        return [save(y, c) is y, hasattr(y, "_saved"), y._backward is None]

    yield (say("returns out; _saved: the Tensors and their version numbers",
               "返回 out；_saved：各 Tensor 及其版本号"),
           guarded(lambda s, y, a, b: [s is y, *([t is b, t is y, int(n)] for t, n in y._saved)], 4))
    for en, zh, program in (
        ("nothing changed", "没有任何修改", bumped("b", 0)),
        ("a change before save", "save 之前的修改", bumped("b", 0, before=2)),
        ("an operand changed after save", "save 之后修改了操作数", bumped("b")),
        ("the result changed after save", "save 之后修改了结果", bumped("y", 2)),
        ("an operand that was not saved is changed", "修改未被保存的操作数", bumped("a")),
        ("_saved set to None", "把 _saved 置为 None", guarded(freed)),
    ):
        yield say(f"{en}: error or not, gradients", f"{zh}：是否报错，梯度"), program
    yield (say("a result that does not require a gradient", "不需要梯度的结果"), constant)


mistakes(
    check_save,
    ("A change goes unnoticed. The counter is a list that goes on counting: what has to be noted is the "
     "number it shows now.", "修改没有被发现。计数器是一个会继续计数的列表：要记下的是它此刻的数字。",
     "save", "[(t, version(t)[0]) for t in saved]", "[(t, version(t)) for t in saved]"),
    ("Versions are compared with 0, not with the number that was noted.",
     "版本号是与 0 比较的，而不是与记下的数字比较。", "save", "version(t)[0] != then:", "version(t)[0] != 0:"),
    ("The error comes after the gradients were added.", "报错之前已经加上了梯度。", "save",
     "        if out._saved is None:", "        before(grad)\n        if out._saved is None:"),
    ("What happens when the saved values were freed, `_saved` None?",
     "保存的值已被释放（`_saved` 为 None）时，会发生什么？", "save",
     "if out._saved is None:", "if out._saved is None:\n            return\n        if False:"),
    ("A result without gradient has no way back and needs nothing saved; this keeps memory alive.",
     "不需要梯度的结果没有反向函数，不必保存任何东西；这样会白白占住内存。", "save",
     "if not out.requires_grad:", "if False:"),
    ("Only the first of the saved Tensors is watched.", "只监视了第一个保存的 Tensor。", "save",
     "for t, then in out._saved:", "for t, then in out._saved[:1]:"),
)


@check(forbids=("torch",))
def check_operations(mul, exp, log, version, Tensor, rng):
    """Which change matters to which operation?"""
    u, w = rng.uniform(0.5, 2.0, size=(2, 3)), rng.uniform(0.5, 2.0, size=3)
    zh = {"a": "修改 a", "b": "修改 b", "out": "修改结果", "none": "不修改"}
    for name, label, call in (("mul(a, b)", "mul(a, b)", lambda a, b: mul(a, b)),
                              ("mul(a, b), b constant", "mul(a, b)，b 为常量", lambda a, b: mul(a, b)),
                              ("mul(a, b), a constant", "mul(a, b)，a 为常量", lambda a, b: mul(a, b)),
                              ("exp(a)", "exp(a)", lambda a, b: exp(a)),
                              ("log(a)", "log(a)", lambda a, b: log(a))):
        for changed in ("none", "a", "b", "out") if "b" in name else ("none", "a", "out"):
            def program(name=name, call=call, changed=changed):
                a = Tensor(u.copy(), requires_grad="a constant" not in name)
                b = Tensor(w.copy(), requires_grad="b constant" not in name)
                y = call(a, b)
                value = y.data.copy()
                version({"a": a, "b": b, "out": y, "none": Tensor(0.0)}[changed])[0] += 1
                return [value, fails(lambda: y.sum().backward()), a.grad, b.grad]

            yield (say(f"{name}, then a change of {changed}: value, error or not, gradients",
                       f"{label}，然后{zh[changed]}：值、是否报错、梯度"), program)


PAIR = "*[b] * a.requires_grad, *[a] * b.requires_grad"
mistakes(
    check_operations,
    ("`mul` saves both operands, needed or not. With a constant b, whose data does the only gradient "
     "need?", "`mul` 不管需不需要都保存了两个操作数。b 为常量时，唯一的那个梯度需要谁的数据？", "mul", PAIR, "a, b"),
    ("`mul` saves the operand that requires the gradient. Write down d(ab)/da: which data stands in it?",
     "`mul` 保存的是需要梯度的那个操作数。写出 d(ab)/da：其中出现的是谁的数据？",
     "mul", PAIR, "*[a] * a.requires_grad, *[b] * b.requires_grad"),
    ("`mul` saves nothing for the gradient of b.", "`mul` 没有为 b 的梯度保存任何东西。",
     "mul", ", *[a] * b.requires_grad", ""),
    ("`exp` saves a. Its derivative is e^a, which is already there: as what?",
     "`exp` 保存了 a。它的导数是 e^a，而这个值已经有了：它是什么？", "exp", "save(out, out)", "save(out, a)"),
    ("`log` saves its result. Which data stands in the derivative 1/a?",
     "`log` 保存了结果。导数 1/a 中出现的是谁的数据？",
     "log", "return save(a.log(), a)", "out = a.log()\n    return save(out, out)"),
)


@check(forbids=("torch",))
def check_backward(backward, mul, exp, Tensor, rng):
    """One walk through a graph, or two."""
    u, g = rng.normal(size=(2, 3)), rng.normal(size=(2, 3))

    def square(look):
        def program():
            a = Tensor(u.copy())
            h = exp(mul(a, a))
            return look(a, h, h.sum())
        return program

    def after(look, *retain):
        def walk(a, h, loss):
            for keep in retain:
                backward(loss, retain_graph=keep)
            return look(a, h)
        return square(walk)

    def calls(*retain):
        return square(lambda a, h, loss: [
            fails(lambda keep=keep: backward(loss, retain_graph=keep)) for keep in retain])

    def sums():
        a = Tensor(u.copy())
        y = (a + a).sum()
        y._saved = []
        backward(y)
        backward(y)
        return [a.grad, y._saved]

    def graphs():
        a = Tensor(u.copy())
        for _ in range(3):
            backward(mul(a, a).sum())
        return a.grad

    def shared(keep):
        a = Tensor(u.copy())
        h = mul(a, a)
        backward((h + 1.0).sum(), retain_graph=keep)
        return [fails(lambda: backward((h + h).sum())), a.grad if keep else None]

    def saved(a, h):
        return [h._saved is None, h._prev[0]._saved is None, hasattr(a, "_saved")]

    yield say("gradient after one call", "调用一次之后的梯度"), after(lambda a, h: a.grad, False)
    for keep in (False, True):
        yield (say(f"retain_graph={keep}: is _saved None in the last and the first operation?",
                   f"retain_graph={keep}：最后与最初的运算的 _saved 是否为 None？"), after(saved, keep))
        yield (say(f"two losses on a shared part, the first with retain_graph={keep}",
                   f"两个损失共用一段图，第一个的 retain_graph={keep}"), lambda keep=keep: shared(keep))
    yield (say("twice, the first with retain_graph: the sum", "两次，第一次带 retain_graph：梯度之和"),
           after(lambda a, h: a.grad, True, False))
    yield (say("twice without retain_graph: error or not", "两次都不带 retain_graph：是否报错"),
           calls(False, False))
    yield (say("retain_graph True, False, True: error or not",
               "retain_graph 依次为 True、False、True：是否报错"), calls(True, False, True))
    yield (say("a gradient passed in", "传入一个梯度"),
           square(lambda a, h, loss: backward(h, g.copy()) or a.grad))
    yield (say("a graph of sums, twice: gradient, and the empty _saved afterwards",
               "只有加法的图，两次：梯度，以及之后的空 _saved"), sums)
    yield say("three graphs of one leaf: the sum", "同一叶子的三个图：梯度之和"), graphs


CALL = "    out.backward(grad)  #"
mistakes(
    check_backward,
    ("Nothing is freed.", "什么也没有释放。", "backward", "if not retain_graph:", "if False:"),
    ("Everything is freed although `retain_graph` asks to keep it.",
     "`retain_graph` 要求保留，却全部释放了。", "backward", "if not retain_graph:", "if True:"),
    ("Only the last operations are freed. The values saved further back are most of the memory.",
     "只释放了最后的运算。更前面保存的值才占了大部分内存。", "backward",
     "topological_order(out)", "[out, *out._prev]"),
    ("The gradient that was passed in is not used.", "传入的梯度没有被用上。", "backward",
     CALL, "    out.backward(None if grad is None else grad * 0 + 1)  #"),
    ("An operation that saved nothing is marked as freed too, and cannot be gone through again.",
     "什么也没有保存的运算也被标成了已释放，无法再次通过。", "backward",
     'if getattr(node, "_saved", None):', 'if hasattr(node, "_saved"):'),
    ("Gradients of leaves are overwritten; they should add up over calls.",
     "叶子的梯度被覆盖了；它们应当在多次调用间累加。", "backward",
     CALL, "    for node in topological_order(out):\n        node.zero_grad()\n" + CALL),
)


TITLES = {
    "a": ("two graphs, one leaf", "两个图，一个叶子"), "b": ("one product twice", "同一个积两次"),
    "c": ("one sum twice", "同一个和两次"), "d": ("retain_graph", "retain_graph"),
    "e": ("a shared part", "共用的部分"), "f": ("exp, then add_", "exp 之后 add_"),
    "g": ("log, then mul_", "log 之后 mul_"), "h": ("add_ on a leaf", "对叶子做 add_"),
    "i": ("a weight changed under no_grad", "在 no_grad 下改权重"),
    "j": ("a change through detach()", "经 detach() 修改"), "k": ("a change through .data", "经 .data 修改"),
    "l": ("a detached factor", "detach 过的因子"), "m": ("a constant from no_grad", "no_grad 得到的常量"),
    "n": ("a leaf that no gradient reaches", "没有梯度到达的叶子"),
}


def number(answer):
    """The answer as a number: x.grad itself, or one that stands for a word."""
    words = {"error": -1.0, "none": -2.0}
    return words.get(answer.strip().lower(), -3.0) if isinstance(answer, str) else float(answer)


@check()
def check_predictions(predictions, cases, outcome, rng):
    """What does PyTorch really do?"""
    for letter, program in cases().items():
        en, zh = TITLES[letter]
        yield (say(f"{letter}: {en}, as PyTorch does it", f"{letter}：{zh}，与 PyTorch 的实际行为一致"),
               lambda: number(predictions()[letter]),
               accuracy_at_least(number(outcome(program)), 1.0))
    yield (say("the letters", "各字母"), lambda: sorted(predictions()), exactly())


for hint, replace in (
    (say("a, d: a gradient is not replaced by the next one. What does `+=` do on a leaf?",
         "a、d：梯度不会被下一个替换。叶子上的 `+=` 做了什么？"), {'"a": 12': '"a": 6', '"d": 12': '"d": 6'}),
    (say("c: what is freed are saved values. What did a sum save?", "c：被释放的是保存的值。加法保存了什么？"),
     {'"c": 4': '"c": "error"'}),
    (say("b, e: a product saved its operands, and the first walk freed them.",
         "b、e：乘积保存了操作数，而第一次遍历已经释放了它们。"),
     {'"b": "error"': '"b": 12', '"e": "error"': '"e": 12'}),
    (say("g: which of its two values, operand or result, does log need on the way back?",
         "g：反向时，log 需要操作数与结果中的哪一个？"), {'"g": 2': '"g": "error"'}),
    (say("j: detach() shares the memory. Does it share the version counter?",
         "j：detach() 共享内存。它共享版本计数器吗？"), {'"j": "error"': '"j": 8'}),
    (say("k: `.data` shares the memory too, but with a version counter of its own. Who could notice?",
         "k：`.data` 也共享内存，但有自己的版本计数器。谁还能察觉呢？"), {'"k": 8': '"k": "error"'}),
    (say("i: no_grad allows the change of a leaf. Does it also hide it from operations that saved the "
         "old value?",
         "i：no_grad 允许修改叶子。它会让保存了旧值的运算也察觉不到吗？"), {'"i": "error"': '"i": 6'}),
    (say("l, m: which factors are constants here?", "l、m：这里哪些因子是常量？"),
     {'"l": 3': '"l": 6', '"m": 9': '"m": 27'}),
    (say("n: what is there of a gradient that never arrived, a zero or nothing?",
         "n：从未到来的梯度，留下的是零，还是什么也没有？"), {'"n": "none"': '"n": 0'}),
):
    check_predictions.mistake(hint, within="predictions", replace=replace)

EQUIVALENT = {
    "detach: result.data = t.data -> (removed)":
        "the reference's constructor uses a float64 array without a copy; a learner's may copy",
}
