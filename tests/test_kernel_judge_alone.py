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
    "messages": KERNEL.format("pass") + "def go(x):\n    if x.dim() != 1:\n        raise ValueError(f'{x.shape}')\n"
                "    add_kernel[(1,)](x)\n",
}
REFUSED = {
    "torch computes": ("def go(x):\n    return torch.softmax(x, -1)\n", "torch.softmax"),
    "an import inside": ("def go(x):\n    import gc\n    return x\n", "import gc"),
    "inner attributes": ("def go(x):\n    return add_kernel.fn.__globals__\n", "__globals__"),
    "a module through another": ("def go(x):\n    return tl.core.builtins\n", "tl.core"),
    "through an alias": ("import gc as tidy\ndef go(x):\n    return tidy.get_objects()\n", "import gc as tidy"),
    "a class": ("class go:\n    pass\n", "class go"),
    "built-in doors": ("def go(x):\n    return getattr(x, 'a' + 'b')\n", "getattr"),
    "what a helper does": ("def help():\n    exec('1')\ndef go(x):\n    return help()\n", "exec"),
    "attributes set": ("def go(x):\n    add_kernel.run = print\n", "add_kernel.run"),
    "a default computed": ("import os\ndef go(x, n=os.getpid()):\n    return n\n", "import os"),
    "a decorator": ("import gc\n@gc.freeze\ndef go(x):\n    return x\n", "import gc"),
    "a value computed by others": ("import numpy as np\nsize = np.arange(3)\ndef go(x):\n    return size\n", "numpy"),
    "a loop that binds": ("for go in [print]:\n    pass\n", "for go in"),
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
