"""Lint of a kernel's file: a teaching aid that reads source and runs nothing.

It names what has no place in a kernel or beside it: torch calls that do the work, ``try``, ``gc`` and ``os``,
patched modules and timers, cached outputs, other streams, and decoys: kernels that store nothing or are
never launched. Whoever evades it still has the strict interpreter to convince.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence

from ladder.forbids import dotted_name, imported_names
from ladder.kernel_judge.findings import Finding
from ladder.text import Text, say

KERNEL_MAY = ("triton", "triton.language")
MODULES = ("os", "gc", "sys", "ctypes", "inspect", "importlib", "subprocess", "builtins", "threading", "pickle",
           "linecache", "ladder.kernel_judge")
NAMES = ("exec", "eval", "compile", "__import__", "globals", "setattr", "vars", "open")
ASKING = ("cases", "speed")  # functions that make arguments and say what is expected: they may compute
MAKES = {  # torch functions that a launcher needs
    "empty", "empty_like", "empty_strided", "zeros", "zeros_like", "ones", "ones_like", "full", "full_like",
    "arange", "tensor", "as_tensor", "Tensor", "device", "dtype", "Size", "iinfo", "finfo", "no_grad", "is_tensor",
    "broadcast_shapes", "autograd", "float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64",
    "uint8", "bool", "half", "long", "int", "float", "float8_e4m3fn", "float8_e5m2", "get_default_dtype", "cuda",
}
METHODS = {"matmul", "mm", "bmm", "softmax", "log_softmax", "addmm", "einsum", "baddbmm", "scaled_dot_product_attention",
           "layer_norm", "rms_norm", "numpy"}


def lint(source: str, forbids_try: bool = True) -> list[Finding]:
    """What is wrong in ``source``, in the order of its lines."""
    try:
        tree = ast.parse(source)
    except SyntaxError as error:
        return [Finding("Forbidden", say(f"this is not Python: {error.msg}", f"这不是 Python 代码：{error.msg}"),
                        line=error.lineno or 0)]
    linter = _Linter(tree, source.split("\n"), forbids_try)
    return sorted(linter.found, key=lambda finding: finding.line)


def is_kernel(node: ast.AST) -> bool:
    """Whether a definition is decorated with ``triton.jit``, bare or called, under any usual name."""
    return isinstance(node, ast.FunctionDef) and any(
        ast.unparse(d.func if isinstance(d, ast.Call) else d).rpartition(".")[2] == "jit"
        for d in node.decorator_list)


class _Linter:
    def __init__(self, tree: ast.Module, lines: Sequence[str], forbids_try: bool) -> None:
        self.found: list[Finding] = []
        self.lines = lines
        self.aliases: dict[str, str] = {}
        for node in ast.walk(tree):
            self.aliases |= imported_names(node)
        kernels = {node.name: node for node in ast.walk(tree)
                   if isinstance(node, ast.FunctionDef) and is_kernel(node)}
        inside = {id(part) for node in kernels.values() for part in ast.walk(node)}
        inside |= {id(part) for node in tree.body if isinstance(node, ast.FunctionDef) and node.name in ASKING
                   for part in ast.walk(node)}
        for kernel in kernels.values():
            self._kernel(kernel, kernels)
        self.stores = _containers(tree)
        for node in ast.walk(tree):
            if id(node) not in inside:
                self._launcher(node, forbids_try)
        self._decoys(tree, kernels, inside)

    def _add(self, rule: str, node: ast.AST, text: Text, kernel: str = "") -> None:
        line = getattr(node, "lineno", 0)
        known = any(f.argument == rule and f.line == line for f in self.found)
        if not known:
            self.found.append(Finding("Forbidden", text, kernel, line,
                                      self.lines[line - 1].strip() if line else "", argument=rule))

    def _kernel(self, kernel: ast.FunctionDef, kernels: dict) -> None:
        for node in ast.walk(ast.Module(kernel.body, [])):
            if isinstance(node, (ast.Try, ast.With, ast.Raise, ast.Import, ast.ImportFrom)):
                what = type(node).__name__.lower().replace("importfrom", "import")
                self._add("syntax", node, say(f"`{what}` has no place in a kernel", f"kernel 中不能有 `{what}`"),
                          kernel.name)
            if isinstance(node, ast.Name) and node.id in NAMES:
                self._add("builtin", node, say(f"{node.id} has no place in a kernel", f"kernel 中不能使用 {node.id}"),
                          kernel.name)
            dotted = dotted_name(node, self.aliases) if isinstance(node, (ast.Name, ast.Attribute)) else None
            if dotted and dotted.split(".")[0] not in ("triton", "ladder") and not dotted.startswith(KERNEL_MAY):
                self._add("module", node, say(f"{dotted} has no place in a kernel, only tl",
                                              f"kernel 中只能使用 tl，不能使用 {dotted}"), kernel.name)

    def _launcher(self, node: ast.AST, forbids_try: bool) -> None:
        if forbids_try and isinstance(node, ast.Try):
            self._add("try", node, say("try hides what goes wrong: let errors be seen",
                                       "try 会掩盖错误：应当让错误显现出来"))
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for name in imported_names(node).values():
                if any(name == m or name.startswith(m + ".") for m in MODULES):
                    self._add("module", node, say(f"{name} has no place beside a kernel",
                                                  f"kernel 文件中不应当使用 {name}"))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in NAMES:
            self._add("builtin", node, say(f"{node.func.id} has no place beside a kernel",
                                           f"kernel 文件中不应当使用 {node.func.id}"))
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                dotted = dotted_name(target, self.aliases) if isinstance(target, ast.Attribute) else None
                if dotted:
                    self._add("patch", node, say(f"replaces {dotted}, which is not yours",
                                                 f"替换了不属于你的 {dotted}"))
                if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and (
                        target.value.id in self.stores):
                    self._add("cache", node, say(f"keeps results in {target.value.id} between calls",
                                                 f"在 {target.value.id} 中保存了上次调用的结果"))
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                name = ast.unparse(decorator.func if isinstance(decorator, ast.Call) else decorator)
                if name.rpartition(".")[2] in ("cache", "lru_cache"):
                    self._add("cache", decorator, say("keeps results between calls", "保存了上次调用的结果"))
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.MatMult):
            self._add("library", node, say("`@` multiplies with torch, not in a kernel",
                                           "`@` 用 torch 而不是 kernel 做矩阵乘法"))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            self._call(node, node.func)

    def _call(self, node: ast.Call, function: ast.Attribute) -> None:
        dotted = dotted_name(function, self.aliases)
        if dotted is None:
            if function.attr in METHODS:
                self._add("library", node, say(f".{function.attr}() computes outside of the kernel",
                                               f".{function.attr}() 在 kernel 之外计算"))
            return
        parts = dotted.split(".")
        if parts[:2] == ["torch", "cuda"]:
            if len(parts) > 2 and parts[2] in ("Stream", "stream", "ExternalStream", "default_stream", "graph",
                                               "CUDAGraph"):
                self._add("stream", node, say(f"{dotted}: work on another stream is not timed",
                                              f"{dotted}：其他 stream 上的工作不会被计时"))
        elif parts[0] in ("numpy", "scipy") or (
                parts[0] == "torch" and (len(parts) > 2 or parts[1] not in MAKES)):
            self._add("library", node, say(f"{dotted} computes outside of the kernel", f"{dotted} 在 kernel 之外计算"))

    def _decoys(self, tree: ast.Module, kernels: dict[str, ast.FunctionDef], inside: set[int]) -> None:
        called = {name for kernel in kernels.values() for part in ast.walk(kernel) if isinstance(part, ast.Call)
                  for name in [ast.unparse(part.func)] if name in kernels}
        used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in inside}
        for name, kernel in kernels.items():
            words = {part.attr for part in ast.walk(kernel) if isinstance(part, ast.Attribute)}
            returns = any(isinstance(p, ast.Return) and p.value is not None for p in ast.walk(kernel))
            stores = any(w == "store" or w.startswith("atomic_") for w in words) or any(
                part in kernels for part in {ast.unparse(p.func) for p in ast.walk(kernel) if isinstance(p, ast.Call)})
            hole = any(isinstance(p, ast.Constant) and p.value == "your code here" for p in ast.walk(kernel))
            if name not in called and not returns and not stores and not hole:
                self._add("decoy", kernel, say(f"the kernel {name} stores nothing", f"kernel {name} 没有写入任何内容"),
                          name)
            elif name not in called and name not in used and any(
                    isinstance(n, ast.FunctionDef) and not is_kernel(n) for n in tree.body):
                self._add("decoy", kernel, say(f"the kernel {name} is never launched", f"kernel {name} 从未启动"), name)


def _containers(tree: ast.Module) -> set[str]:
    """Module-level names of dicts and lists, where a launcher could keep results."""
    found = set()
    for node in tree.body:
        if isinstance(node, (ast.Assign, ast.AnnAssign)) and isinstance(
                node.value, (ast.Dict, ast.List, ast.Call)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {t.id for t in targets if isinstance(t, ast.Name)}
    return found
