"""Whether a Python verifier may share one process with other rows, judged from its source.

Rows of a batch share an interpreter. Source that is *plain* cannot reach what outlives a row (other modules' state, the
frames of its caller, the builtins), because everything it can name is made anew for each row. All other source runs in
a process of its own for every call: slower, and nothing it changes is there for the next row.

Judging is a matter of correctness between rows of one author's verifier; the walls of the sandbox do not lean on it.
Not covered: source that builds forbidden names out of pieces and finds a plain way to use them.
"""

import ast
import sys


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Modules whose public functions keep no state that a verifier could change for a later row.
PLAIN_MODULES = _words(
    "__future__ ast base64 bisect cmath collections collections.abc copy dataclasses datetime decimal difflib enum "
    "fractions functools hashlib heapq html itertools json math numbers operator random re statistics string "
    "textwrap time typing unicodedata zlib"
)
# Modules keep what they import as attributes: `statistics.sys` is the interpreter itself.
_MODULE_NAMES = (sys.stdlib_module_names | {"decoder", "encoder", "scanner", "entities"}) - PLAIN_MODULES - {"abc"}

# Builtins and functions that turn a text into a name, or hand out the interpreter's own objects.
REACHING_NAMES = _words(
    "__import__ __builtins__ __loader__ __spec__ attrgetter breakpoint compile delattr eval exec exit Formatter "
    "get_type_hints getattr globals help input locals make_dataclass memoryview methodcaller open quit setattr "
    "setcontext getcontext update_wrapper vars"
)

# Attributes without underscores through which frames, code and caches are reached.
REACHING_ATTRIBUTES = REACHING_NAMES | _words(
    "ag_frame cache_clear cr_frame f_back f_builtins f_globals f_locals gi_frame mro purge register tb_frame tb_next "
    "with_traceback get_field ForwardRef"
)

SPECIAL_METHODS = _words(
    "__init__ __post_init__ __repr__ __str__ __eq__ __lt__ __le__ __gt__ __ge__ __hash__ __len__ __iter__ __next__ "
    "__contains__ __getitem__ __call__ __add__ __sub__ __mul__ __enter__ __exit__ __name__ __doc__"
)


def shares_process(tree: ast.Module) -> bool:
    """True where rows may be graded one after another in one process."""
    return all(_is_plain(node) for node in ast.walk(tree))


def _is_plain(node: ast.AST) -> bool:
    match node:
        case ast.Import(names=names):
            return all(alias.name in PLAIN_MODULES for alias in names)
        case ast.ImportFrom(module=module, names=names, level=level):
            return level == 0 and module in PLAIN_MODULES and all(_plain_name(alias.name) for alias in names)
        case ast.Name(id=name):
            return name not in REACHING_NAMES and (not name.startswith("__") or name in SPECIAL_METHODS)
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
            return not name.startswith("__") or name in SPECIAL_METHODS
        case ast.Attribute():
            return (_own(node.value) and not node.attr.startswith("__")) or (
                isinstance(node.ctx, ast.Load) and _plain_name(node.attr)
            )
        case ast.MatchClass(kwd_attrs=names):
            return all(_plain_name(name) for name in names)
        case ast.Subscript(ctx=ast.Store() | ast.Del(), value=ast.Attribute() as value):
            return _own(value.value)
        case ast.Constant(value=str() as text):
            return "__" not in text or any(character.isspace() for character in text)
        case _:
            return True


def _plain_name(name: str) -> bool:
    """Of an attribute, or of what is imported from a plain module."""
    if name in SPECIAL_METHODS:
        return True
    return not name.startswith("_") and name != "*" and name not in REACHING_ATTRIBUTES and name not in _MODULE_NAMES


def _own(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"
