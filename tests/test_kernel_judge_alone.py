"""Kernels are judged in a process that runs them and nothing else: what goes there, and what is refused."""

import ast

import pytest

from ladder.kernel_judge.alone import cells_alone, refusal

HEAD = "import math, torch\nfrom ladder.triton import tl, triton\n"
KERNEL = "@triton.jit\ndef add_kernel(x_ptr, n, BLOCK: tl.constexpr):\n    {}\n"

ACCEPTED = {
    "constants": "LOG2E: tl.constexpr = tl.constexpr(math.log2(math.e))\n" + KERNEL.format("x = LOG2E"),
    "helpers": "@triton.jit\ndef twice(x):\n    return x * 2\n" + KERNEL.format("x = twice(tl.math.exp2(n))"),
    "a launcher": KERNEL.format("pass") + "def go(x, block=64):\n    out = torch.empty_like(x, dtype=torch.float32)\n"
                  "    grid = lambda meta: (triton.cdiv(x.numel(), meta['BLOCK']),)\n"
                  "    add_kernel[grid](x, out, BLOCK=block)\n    return out\n",
    "autotune": "@triton.autotune(configs=[triton.Config({'BLOCK': 64}, num_warps=4)], key=['n'])\n"
                + KERNEL.format("pass"),
    "another name": "import triton.language as lang\n" + KERNEL.format("x = lang.load(x_ptr)"),
    "what a later cell computes": KERNEL.format("pass") + "import os\nfiles = os.listdir('.')\n",
    "tests that the learner wrote": KERNEL.format("pass") + "import gc\ndef mine():\n    gc.collect()\n",
    "types": "from collections.abc import Callable\nfrom jaxtyping import Float\nfrom torch import Tensor\n" + KERNEL.format("pass")
             + "def go(x: Float[Tensor, 'n d'], f: Callable | None = None) -> Float[Tensor, 'n']:\n    rows, d = x.shape\n"
               "    out = x.new_empty(rows)\n    with torch.cuda.device(x.device.index or 0):\n"
               "        add_kernel[(rows,)](x.contiguous().view(-1), out, BLOCK=triton.next_power_of_2(d))\n    return out\n",
    "a table": "SIZES = {(8, 0): {'BLOCK': 64}}\n" + KERNEL.format("x = tl.load(x_ptr).to(x_ptr.dtype.element_ty)")
               + "def go(x):\n    major = torch.cuda.get_device_capability() if torch.cuda.is_available() else (8, 0)\n"
                 "    add_kernel[lambda meta: (triton.cdiv(len(x), meta['BLOCK']),)](x, x.stride(0), **SIZES.get(major, {}))\n",
    "messages": KERNEL.format("pass") + "def go(x):\n    if x.dim() != 1:\n        raise ValueError(f'{x.shape}')\n"
                "    add_kernel[(1,)](x)\n",
}
REFUSED = {
    "torch computes": ("def go(x):\n    return torch.softmax(x, -1)\n", "torch.softmax"),
    "an import inside": ("def go(x):\n    import gc\n    return x\n", "import gc"),
    "inner attributes": ("def go(x):\n    return add_kernel.fn.__globals__\n", "__globals__"),
    "a module through another": ("def go(x):\n    return tl.core.builtins\n", "tl.core"),
    "through an alias": ("import gc as tidy\ndef go(x):\n    return tidy.get_objects()\n", "tidy.get_objects"),
    "a class": ("class go:\n    pass\n", "class go"),
    "built-in doors": ("def go(x):\n    return getattr(x, 'a' + 'b')\n", "getattr"),
    "what a helper does": ("def help():\n    exec('1')\ndef go(x):\n    return help()\n", "exec"),
    "attributes set": ("def go(x):\n    add_kernel.run = print\n", "add_kernel.run"),
    "a default computed": ("import os\ndef go(x, n=os.getpid()):\n    return n\n", "os"),
    "a decorator": ("import gc\n@gc.freeze\ndef go(x):\n    return x\n", "import gc"),
    "a value computed by others": ("import numpy as np\nsize = np.arange(3)\ndef go(x):\n    return size\n", "np"),
    "a loop that binds": ("for go in [print]:\n    pass\n", "for go in"),
    "a module by another name": ("def go(x):\n    t = torch\n    return t.hub.os.getpid()\n", "torch"),
    "a module from a list": ("def go(x):\n    return [torch][0].softmax(x, 0)\n", "torch"),
    "a module as a default": ("def go(x, t=tl):\n    return t.core\n", "tl"),
    "math is torch": ("math = [0]\ndef go(x):\n    return math.softmax(x)\n", "math"),
    "a module of typing's": ("import typing\ndef go(x):\n    return typing.sys\n", "typing.sys"),
    "from typing": ("from typing import operator\ndef go(x):\n    return operator.add(x, x)\n", "operator"),
    "of collections.abc's": ("import collections.abc\ndef go(x):\n    return collections.abc.sys\n", "collections.abc.sys"),
    "inside tl.math": ("def go(x):\n    return tl.math.core.builtins\n", "tl.math.core"),
    "the scope of a kernel": ("def go(x):\n    return add_kernel.get_capture_scope()\n", "get_capture_scope"),
    "by a pattern": ("def go(x):\n    match x:\n        case object(get_capture_scope=f):\n            return f()\n", "match"),
    "the frame of a generator": ("def go(x):\n    return (i for i in x).gi_frame.f_builtins\n", "f_builtins"),
    "Python's built-in names": ("def go(x):\n    return __builtins__\n", "__builtins__"),
    "IPython": ("def go(x):\n    return get_ipython()\n", "get_ipython"),
    "annotations that are asked": ("from jaxtyping import Float\ndef go(x):\n    return isinstance(x, Float[torch.Tensor, 'go()'])\n",
                                   "Float"),
    "an annotation that runs": ("def go(x: print(1)):\n    return x\n", "print"),
    "a decorator of one's own": ("def jit(f):\n    return [f]\n@jit\ndef go(x):\n    return x\n", "@jit"),
    "NumPy's arithmetic": ("def go(x):\n    return x.numpy()\n", "x.numpy"),
    "Python's loops in torch": ("def go(x):\n    return x.map_(x, max)\n", "x.map_"),
    "what a format asks": ("def go(x):\n    return '{0.__class__}'.format(x)\n", "format"),
    "parts of torch": ("def go(x):\n    return torch.utils.cpp_extension\n", "torch.utils"),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_kernels_and_their_launchers_are_accepted(name):
    source = HEAD + ACCEPTED[name]
    assert refusal(source, ["add_kernel", "go"]) is None
    (_, left), = cells_alone([(0, source)], ["add_kernel", "go"])
    kept = {node.name: node.lineno for node in ast.parse(left).body if isinstance(node, ast.FunctionDef)}
    whole = {node.name: node.lineno for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)}
    assert kept.items() <= whole.items() and "add_kernel" in kept
    assert "import os" not in left and "import gc" not in left


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_is_refused_and_left_out(name):
    added, told = REFUSED[name]
    source = HEAD + KERNEL.format("pass") + added
    assert refusal(source, ["add_kernel"]) is None
    found = refusal(source, ["add_kernel", "go"])
    assert found is not None and told in found.en and told in found.zh
    (_, left), = cells_alone([(0, source)], ["add_kernel", "go"])
    assert "gc" not in left and "numpy" not in left and "__globals__" not in left and "core" not in left


@pytest.mark.parametrize("cell", [
    "SIZE = 64; import os; os.remove('x')",
    "SIZE = 64\x0c\nimport os",
    "'''\n'''; SIZE = 64; import os",
    "\u2028#\nSIZE = 64\nimport os\n",
    "# \u2028\nSIZE = \\\n64; import os\n",
])
def test_only_the_wanted_statement_of_a_line_is_kept(cell):
    try:
        ast.parse(cell)
    except SyntaxError:
        cell = cell.replace("\u2028", "# \u2028")
    found = dict(cells_alone([(7, cell), (8, KERNEL.format("x = SIZE"))], ["add_kernel"]))
    assert [ast.unparse(node) for node in ast.parse(found[7]).body] == ["SIZE = 64"]


def test_cells_that_are_no_python_or_define_nothing_are_left_out():
    assert list(cells_alone([(0, "this is not"), (1, "print('hello')")], ["add_kernel"])) == []
