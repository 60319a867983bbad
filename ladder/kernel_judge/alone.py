"""The kernels of a submission without the rest of it, to be judged in a process that ran nothing else.

The strict interpreter is Python, and so could be changed by any code that ran before it. So a graded run interprets
kernels in a process of their own: of the learner's cells only those definitions are kept that kernel checks need, and
those only if they keep to what a kernel and its launcher use: ``tl``, ``triton``, memory of torch's, ``math``, plain
Python. ``refusal`` says what does not; ``cells_alone`` blanks out all else, so that lines keep their numbers.
"""

from __future__ import annotations

import ast
import functools
import math
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

from ladder.forbids import _names_used, dotted_name, imported_names
from ladder.kernel_judge.lint import MAKES
from ladder.text import Text, say


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


MODULES = ("triton", "triton.language", "torch", "math", "typing", "jaxtyping", "collections.abc", "ladder.triton",
           "__future__")
EARLIER = "ladder.earlier"  # in a graded run these are the references
PLAIN = frozenset((
    "abs", "all", "any", "bool", "callable", "dict", "divmod", "enumerate", "filter", "float", "frozenset", "hash",
    "int", "isinstance", "issubclass", "iter", "len", "list", "map", "max", "min", "next", "pow", "print", "range", "repr", "reversed",
    "round", "set", "slice", "sorted", "str", "sum", "tuple", "zip", "object", "NotImplemented", "Ellipsis",
    "ArithmeticError", "AssertionError", "Exception", "IndexError", "KeyError", "NotImplementedError", "RuntimeError",
    "TypeError", "ValueError"))
TORCH = frozenset({*MAKES, "inf", "nan", "pi", "result_type", "promote_types", "memory_format", "contiguous_format",
                   "preserve_format", "channels_last", "strided", "Tensor", "uint16", "uint32", "uint64", "float8_e4m3fn",
                   "float8_e5m2", "finfo", "iinfo", "is_floating_point"} - {"autograd", "cuda"})
TORCH_CUDA = frozenset(("is_available", "get_device_capability", "current_device", "get_device_properties", "device"))
TYPING = frozenset(("Any", "Annotated", "Callable", "Dict", "Final", "Iterable", "Iterator", "List", "Literal", "Mapping",
                    "NamedTuple", "Optional", "Sequence", "Tuple", "TypeAlias", "TypeVar", "Union", "cast"))
MATH = frozenset(name for name in dir(math) if not name.startswith("_"))
TRITON = frozenset(("jit", "autotune", "heuristics", "Config", "cdiv", "next_power_of_2", "constexpr_function"))
TL = _words("""
    PropagateNan TRITON_MAX_TENSOR_NUMEL abs add advance aggregate_replace arange argmax argmin associative_scan
    assume atomic_add atomic_and atomic_cas atomic_load atomic_max atomic_min atomic_or atomic_poll atomic_store
    atomic_xchg atomic_xor bfloat16 bitonic_merge block_type broadcast broadcast_to cast cat cdiv ceil clamp
    condition const constexpr constexpr_type cos cumprod cumsum debug_barrier device_assert device_print div_rn
    dot dot_scaled dtype erf exp exp2 expand_dims expect_zero fdiv flip float16 float32 float64 float8e4b15
    float8e4b8 float8e4nv float8e5 float8e5b16 floor fma full gather histogram inline_asm_elementwise int1 int16
    int32 int64 int8 interleave join load load_tensor_descriptor log log2 make_block_ptr make_tensor_descriptor
    map_elementwise max max_constancy max_contiguous maximum min minimum mul multiple_of num_programs
    pair_uniform_to_normal permute philox philox_impl pi32_t pointer_type program_id rand rand4x randint
    randint4x randn randn4x range ravel reduce reduce_or reshape rsqrt sigmoid sin slice softmax sort split sqrt
    sqrt_rn squeeze static_assert static_print static_range store store_tensor_descriptor str_to_ty sub sum
    swizzle2d tensor tensor_descriptor tensor_descriptor_type to_tensor topk trans tuple tuple_type uint16
    uint32 uint64 uint8 uint_to_uniform_float umulhi unsqueeze view void where xor_sum zeros zeros_like
""")
ATTRIBUTES = _words("""
    T abs add advance all amax amin any append argmax argmin as_strided associative_scan atomic_add atomic_and
    atomic_cas atomic_load atomic_max atomic_min atomic_or atomic_poll atomic_store atomic_xchg atomic_xor base
    bfloat16 bit_length bits block_shape bool broadcast_to cast cdiv ceil chunk clone contiguous copy copy_ cos
    count cumprod cumsum data_ptr detach device diff dim discard double dtype e element_size element_ty endswith
    eps erf exp exp2 expand expand_as expand_dims extend fill_ flatten flip float floor fp_mantissa_width gather
    get get_device half histogram index index_select inf insert int int_bitwidth is_bf16 is_block is_bool
    is_complex is_const is_contiguous is_cuda is_dtype is_floating is_floating_point is_fp16 is_fp32 is_fp64
    is_fp8 is_fp8e4nv is_fp8e5 is_int is_int1 is_int16 is_int32 is_int64 is_int8 is_int_signed is_int_unsigned
    is_integer is_ptr is_signed is_standard_floating is_uint16 is_uint32 is_uint64 is_uint8 isfinite isinf
    isnan item items itemsize
    join keys kwargs load log log2 logical_and logical_or long lower mT major max mean min minor movedim
    multi_processor_count name narrow nbytes ndim nelement new_empty new_empty_strided new_full new_ones
    new_tensor new_zeros num_stages num_warps numel permute pi pop primitive_bitwidth ravel reduce reduce_or
    remove repeat repeat_interleave replace requires_grad reshape reshape_as resolution reverse rsqrt scalar
    scatter select setdefault shape shared_memory_per_block shared_memory_per_block_optin short sigmoid sin size
    smallest_normal softmax sort split sqrt sqrt_rn squeeze startswith storage_offset store stride strides strip
    sum swapaxes t tiny to tolist total_memory trans transpose tril triu type type_as unbind unflatten unfold
    unsqueeze update upper value values view view_as xor_sum zero_
""")  # of tensors, blocks, types, lists, dicts, texts: nothing that leads to Python's or Triton's insides
BARE = frozenset(("torch", "torch.cuda", "triton", "triton.language", "triton.language.math", "math", "typing", "jaxtyping",
                  "collections", "collections.abc", "ladder", "ladder.triton"))  # modules: only what is in them is used
DECORATORS = ("triton.jit", "triton.autotune", "triton.heuristics", "triton.constexpr_function", "torch.no_grad")
ANNOTATION = (ast.Name, ast.Attribute, ast.Subscript, ast.Constant, ast.Tuple, ast.List, ast.BinOp, ast.BitOr, ast.Load)
NEVER = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.AsyncFunctionDef, ast.Global, ast.Nonlocal, ast.Await,
         ast.Yield, ast.YieldFrom, ast.AsyncFor, ast.AsyncWith, ast.Delete, ast.Match)


def refusal(source: str, names: Collection[str]) -> Text | None:
    """What in ``names``, or in what they use, keeps a notebook's ``source`` from being judged alone."""
    aliases, definitions = _read(source)
    for name in sorted(_closure(names, definitions)):
        for node in definitions[name]:
            if (what := _strange(node, aliases, frozenset(definitions))) is not None:
                return say(f"{name} uses {what}: a kernel and what launches it keep to tl, triton, math, plain Python "
                           "and torch's memory (torch.empty and the like)",
                           f"{name} 使用了 {what}：kernel 和启动它的函数只能使用 tl、triton、math、普通 Python "
                           "以及 torch 的内存分配（torch.empty 等）")
    return None


def cells_alone(cells: Iterable[tuple[int, str]], names: Collection[str]) -> Iterator[tuple[int, str]]:
    """The cells that define ``names`` and what those use, everything else in them blanked out."""
    read = [(index, text, tree) for index, text in cells if (tree := _parsed(text)) is not None]
    aliases, definitions = _read("\n".join(ast.unparse(tree) for _, _, tree in read))
    defined = frozenset(definitions)
    bad = {name for name, nodes in definitions.items() if any(_strange(node, aliases, defined) for node in nodes)}
    wanted = {name for name in _closure(names, definitions) if not _closure([name], definitions) & bad}
    for index, text, tree in read:
        kept = [node for node in tree.body if _imports_plainly(node) or set(_bound(node)) & wanted]
        if kept:
            yield index, _only(text, kept)


@functools.lru_cache(maxsize=4)  # every check of one submission asks for the same source
def _read(source: str) -> tuple[dict[str, str], dict[str, list[ast.stmt]]]:
    """What imported names stand for, and the statements that bind each other name."""
    aliases: dict[str, str] = {}
    definitions: dict[str, list[ast.stmt]] = {}
    for node in ast.parse(source).body:
        if isinstance(node, (ast.Import, ast.ImportFrom)) and _imports_plainly(node):
            aliases |= imported_names(node)
            continue
        for name in _bound(node):
            definitions.setdefault(name, []).append(node)
    return aliases, definitions


def _parsed(cell: str) -> ast.Module | None:
    try:
        return ast.parse(cell)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds."""
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
            yield part.id
        elif isinstance(part, ast.alias):
            yield (part.asname or part.name).split(".")[0]
        elif isinstance(part, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield part.name


def _closure(names: Iterable[str], definitions: dict[str, list[ast.stmt]]) -> set[str]:
    """``names`` and all that their definitions refer to, as far as it is defined here."""
    todo, seen = [name for name in names if name in definitions], set()
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo += [used for node in definitions[name] for used in _names_used(ast.unparse(node))
                     if used in definitions]
    return seen


def _imports_plainly(node: ast.stmt) -> bool:
    """Whether a statement imports only what a kernel and its launcher may use."""
    if isinstance(node, ast.Import):
        return all(alias.name in MODULES for alias in node.names)
    if not isinstance(node, ast.ImportFrom) or any(alias.name.startswith(("_", "*")) for alias in node.names):
        return False
    if node.level or (node.module or "").startswith(EARLIER):
        return True
    return node.module in MODULES and all(
        alias.name == "annotations" if node.module == "__future__" else
        node.module == "jaxtyping" or alias.name in ("triton", "tl") or _allowed(f"{node.module}.{alias.name}")
        for alias in node.names)


def _strange(node: ast.stmt, aliases: dict[str, str], defined: frozenset[str]) -> str | None:
    """The first thing in a definition that is neither a kernel's nor a launcher's."""
    if not isinstance(node, (ast.FunctionDef, ast.Assign, ast.AnnAssign)):
        return f"`{ast.unparse(node).splitlines()[0][:60]}`"
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    if any(not isinstance(part, (ast.Name, ast.Tuple, ast.List)) for part in targets):
        return f"`{ast.unparse(node).splitlines()[0][:60]}`"
    owners = {id(part.value) for part in ast.walk(node) if isinstance(part, ast.Attribute)}
    annotations = {id(part) for note in _annotations(node) for part in ast.walk(note)}
    for part in ast.walk(node):
        if isinstance(part, NEVER) or (id(part) in annotations and not isinstance(part, ANNOTATION)):
            return f"`{ast.unparse(part).splitlines()[0][:60]}`"
        for decorator in part.decorator_list if isinstance(part, ast.FunctionDef) else ():
            made_by = dotted_name(decorator.func if isinstance(decorator, ast.Call) else decorator, aliases)
            if _plain_name(made_by or "") not in DECORATORS:
                return f"@{ast.unparse(decorator)[:60]}"
        if not isinstance(part, (ast.Attribute, ast.Name)):
            continue
        dotted = _plain_name(dotted_name(part, aliases) or "")
        if isinstance(part, ast.Name):
            if isinstance(part.ctx, ast.Store) and (part.id in aliases or part.id.startswith("__")):
                return f"`{part.id} = ...`"
        elif part.attr.startswith("_") or not isinstance(part.ctx, ast.Load):
            return ast.unparse(part)
        elif not dotted and part.attr not in ATTRIBUTES:
            return ast.unparse(part)[-60:]
        if dotted and not ((dotted in BARE and id(part) in owners) or _allowed(dotted)
                           or (dotted.split(".")[0] == "jaxtyping" and id(part) in annotations)):
            return dotted if dotted.startswith("torch.") else ast.unparse(part)
    for name in sorted(_names_used(ast.unparse(node)) - set(aliases) - defined - PLAIN):
        return name
    return None


def _annotations(node: ast.stmt) -> Iterator[ast.expr]:
    for part in ast.walk(node):
        if isinstance(part, (ast.arg, ast.AnnAssign)) and part.annotation is not None:
            yield part.annotation
        elif isinstance(part, ast.FunctionDef) and part.returns is not None:
            yield part.returns


def _plain_name(dotted: str) -> str:
    for ours, theirs in (("ladder.triton.triton", "triton"), ("ladder.triton.tl", "triton.language")):
        if dotted == ours or dotted.startswith(f"{ours}."):
            dotted = theirs + dotted.removeprefix(ours)
    return dotted


def _allowed(dotted: str) -> bool:
    """Whether what a dotted name stands for may be used: listed in its module, with plain attributes."""
    for module, names in (("torch.cuda", TORCH_CUDA), ("torch", TORCH), ("triton.language.math", TL | MATH),
                          ("triton.language", TL), ("triton", TRITON), ("math", MATH), ("typing", TYPING),
                          ("collections.abc", TYPING)):
        if dotted.startswith(f"{module}."):
            first, *rest = dotted.removeprefix(f"{module}.").split(".")
            return first in names and all(part in ATTRIBUTES for part in rest)
    return dotted.startswith(f"{EARLIER}.") and all(part in ATTRIBUTES for part in dotted.split(".")[4:])


def _only(text: str, kept: Sequence[ast.stmt]) -> str:
    """``text`` with nothing left but the statements ``kept``, each where it stood."""
    lines = re.split(r"\r\n|\r|\n", text)
    left = [""] * len(lines)
    for node in kept:
        if isinstance(node, ast.FunctionDef):
            first = min([node.lineno, *(part.lineno for part in node.decorator_list)]) - 1
            left[first:node.end_lineno] = lines[first:node.end_lineno]
        else:  # others may stand on the same line
            left[node.lineno - 1] += f"{ast.unparse(node)}; "
    made = "\n".join(left)
    again = _parsed(made)
    if again is None or [ast.dump(node) for node in again.body] != [ast.dump(node) for node in kept]:
        return "\n".join(map(ast.unparse, kept))  # whatever confused us about its lines
    return made
