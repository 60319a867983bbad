"""Forbidden names are found through aliases and helpers; what cannot be seen is written down here."""

import textwrap

import pytest

from ladder.forbids import bindings, forbidden_use

FORBIDS = ("torch.autograd", "numpy.linalg", "sorted")


def used(*cells, names=("f",), forbids=FORBIDS):
    found = forbidden_use(bindings([textwrap.dedent(cell) for cell in cells]), names, forbids)
    if found is not None:
        assert found.zh
    return found and found.en


@pytest.mark.parametrize("cell", [
    "import torch\ndef f(x): return torch.autograd.grad(x, x)",
    "import torch as t\ndef f(x): return t.autograd.grad(x, x)",
    "import torch.autograd\ndef f(x): return torch.autograd",
    "import torch.autograd as ag\ndef f(x): return ag.grad(x)",
    "from torch import autograd\ndef f(x): return autograd.grad(x)",
    "from torch import autograd as ag\ndef f(x): return ag.grad(x)",
    "from torch.autograd import grad\ndef f(x): return grad(x)",
    "from torch.autograd import grad as g\ndef f(x): return g(x)",
    "from torch import *\ndef f(x): return autograd.grad(x)",
    "from torch.autograd import *\ndef f(x): return torch.autograd.grad(x)\nimport torch",
    "def f(x):\n    import torch\n    return torch.autograd.grad(x)",
    "def f(x):\n    from torch.autograd import grad\n    return x",
    "def f(x):\n    from torch import nn, autograd\n    return x",
    "def f(x):\n    import os, torch.autograd as ag\n    return x",
    "import torch\nag = torch.autograd\ndef f(x): return ag.grad(x)",
    "import torch\nt = torch\ndef f(x): return helper(x)\ndef helper(x): return torch.autograd.grad(x)",
    "import torch\nf = torch.autograd.grad",
    "from torch.autograd import grad as f",
    "import torch\nf = lambda x: torch.autograd.grad(x)",
    "import torch\nclass f:\n    def g(self): return torch.autograd",
    "class f: ...\nimport torch\nfrom ladder.notebook import method_of\n@method_of(f)\ndef g(self): return torch.autograd",
    "import torch\ndef f(x, g=torch.autograd.grad): return g(x)",
    "import torch\n@torch.autograd.no_grad()\ndef f(x): return x",
    "import torch\ndef f(x): return [torch.autograd.grad(y) for y in x]",
    "import torch\ndef f(x): return getattr(torch, 'autograd').grad(x)",
    "import torch\ndef f(x): return getattr(getattr(torch, 'autograd'), 'grad')(x)",
    "import importlib\ndef f(x): return importlib.import_module('torch.autograd').grad(x)",
    "from importlib import import_module\ndef f(x): return import_module('torch.autograd')",
    "def f(x): return __import__('torch').autograd.grad(x)",
    "import numpy as np\ndef f(x): return np.linalg.inv(x)",
    "def f(x): return sorted(x)",
    "s = sorted\ndef f(x): return s(x)",
    "def f(x): return list(map(helper, x))\ndef helper(x): return deeper(x)\ndef deeper(x): return sorted(x)",
])
def test_found(cell):
    assert "which this task forbids" in used(cell)


@pytest.mark.parametrize("cell", [
    "import torch\ndef f(x): return torch.exp(x)",
    "import torch.autograd\ndef f(x): return x",
    "import torch\ndef f(x): return x\ndef unused(x): return torch.autograd.grad(x)",
    "import torch\ndef f(x): return torch.autograd_like(x)",
    "def f(x, autograd): return autograd.grad(x)",
    "from mine import autograd\ndef f(x): return autograd.grad(x)",
    "def sorted(x): return x\ndef f(x): return sorted(x)",
    "from mine import sorted\ndef f(x): return sorted(x)",
    "def f(x): return x.sorted()",
    "def f(x):\n    # torch.autograd\n    return 'torch.autograd'",
    "import torch\ndef f(x): return torch.autograd.grad(x)\ndef f(x): return x",
    "", "def f(:", "x = 1",
])
def test_not_found_where_it_is_not(cell):
    assert used(cell) is None


@pytest.mark.parametrize("cell", [
    "import torch\ndef f(x): return getattr(torch, 'auto' + 'grad').grad(x)",
    "import torch\ndef f(x): return vars(torch)['autograd'].grad(x)",
    "def f(x):\n    exec('import torch; torch.autograd')\n    return x",
    "def f(x): return x.backward()",
    "import torch\nhelpers = {}\nhelpers['g'] = torch.autograd.grad\ndef f(x): return globals()['helpers']",
    "import sys\ndef f(x): return sys.modules['torch'].autograd.grad(x)",
])
def test_what_it_cannot_see(cell):
    """Known limits, kept here so that nobody believes otherwise (see the module's docstring)."""
    assert used(cell) is None


def test_nothing_forbidden_nothing_found():
    assert used("def f(x): return sorted(x)", forbids=()) is None


def test_helpers_that_call_each_other_end():
    assert used("def f(x): return g(x)\ndef g(x): return f(x)") is None


def test_a_whole_module_may_be_forbidden():
    assert used("import torch\ndef f(x): return torch.exp(x)", forbids=("torch",))
    assert used("from torch.nn import functional as F\ndef f(x): return F.relu(x)", forbids=("torch",))
    assert used("import torchvision\ndef f(x): return torchvision.ops", forbids=("torch",)) is None
