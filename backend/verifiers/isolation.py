"""Decides from its source whether a Python verifier may grade several rows in one process.

Rows of a batch share an interpreter. *Plain* source has no access to mutable state that outlives a row: every name,
attribute and import is on the lists below, it stores no attribute, defines no class, and leaves nothing behind that
runs during garbage collection. All other source gets a new process for each call, which costs only milliseconds, so
anything not on the lists counts as not plain.

This keeps the rows of one author's verifier independent; the security of the sandbox does not depend on it. Not
covered is the interpreter's own state (cached patterns, addresses in a `repr`, warnings shown once), which affects
only speed and printed text.
"""

import ast
import builtins
import cmath
import collections
import datetime
import difflib
import fractions
import itertools
import math
import random
import re
from collections.abc import Iterator
from decimal import Decimal


def _split(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _public_names(thing: object) -> frozenset[str]:
    return frozenset(name for name in dir(thing) if not name.startswith("_"))


# What may be taken from each module: functions without state, constants, and classes whose instances are new. Nothing
# that changes its argument (`wraps`, `dataclass`), evaluates text, or leads to a container or context the module keeps.
PLAIN_MODULES = {
    "__future__": _split("annotations"),
    "ast": _split("literal_eval"),
    "base64": _split("b16decode b16encode b32decode b32encode b64decode b64encode b85decode b85encode"),
    "bisect": _split("bisect bisect_left bisect_right insort insort_left insort_right"),
    "cmath": _public_names(cmath),
    "collections": _split("ChainMap Counter OrderedDict defaultdict deque"),
    "collections.abc": _split("Callable Collection Iterable Iterator Mapping Sequence Set"),
    "copy": _split("copy deepcopy"),
    "datetime": _split("MAXYEAR MINYEAR UTC date datetime time timedelta timezone"),
    "decimal": _split(
        "Decimal DecimalException DivisionByZero InvalidOperation ROUND_CEILING ROUND_DOWN ROUND_FLOOR ROUND_HALF_DOWN "
        "ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP"
    ),
    "difflib": _split("SequenceMatcher get_close_matches ndiff unified_diff"),
    "fractions": _split("Fraction"),
    "functools": _split("cache cmp_to_key lru_cache partial reduce"),
    "hashlib": _split("blake2b md5 sha1 sha256 sha512"),
    "heapq": _split("heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest"),
    "html": _split("escape unescape"),
    "itertools": _public_names(itertools),
    "json": _split("JSONDecodeError dumps loads"),
    "math": _public_names(math),
    "numbers": _split("Complex Integral Number Rational Real"),
    "operator": _split("add and_ contains eq floordiv ge gt itemgetter le lt mod mul ne neg not_ or_ sub truediv xor"),
    "random": _split("Random choice choices gauss randint random randrange sample seed shuffle uniform"),
    "re": _split(
        "A ASCII DOTALL I IGNORECASE M MULTILINE Match Pattern S VERBOSE X compile error escape findall finditer "
        "fullmatch match search split sub subn"
    ),
    "statistics": _split(
        "StatisticsError correlation fmean geometric_mean harmonic_mean mean median median_high median_low mode "
        "multimode pstdev pvariance quantiles stdev variance"
    ),
    "string": _split(
        "ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable punctuation "
        "whitespace"
    ),
    "textwrap": _split("dedent fill indent shorten wrap"),
    "time": _split("monotonic perf_counter sleep time"),
    "typing": _split(
        "Any Callable Dict Final Iterable Iterator List Literal Mapping Optional Sequence Set Tuple Union cast"
    ),
    "unicodedata": _split("category combining decimal digit name normalize numeric"),
    "zlib": _split("adler32 compress crc32 decompress"),
}

PLAIN_BUILTINS = _split(
    "abs all any ascii bin bool bytearray bytes callable chr complex dict divmod enumerate filter float format "
    "frozenset hex int isinstance issubclass iter len list map max min next object oct ord pow print range repr "
    "reversed round set slice sorted str sum tuple zip"
) | {name for name, value in vars(builtins).items() if isinstance(value, type) and issubclass(value, BaseException)}

# The kinds of value that plain source can come to hold. `format` looks attributes up by text.
_KINDS = (
    *(
        str,
        bytes,
        bytearray,
        int,
        float,
        complex,
        list,
        tuple,
        dict,
        set,
        frozenset,
        range,
        slice,
        re.Pattern,
        re.Match,
    ),
    *(collections.ChainMap, collections.Counter, collections.OrderedDict, collections.defaultdict, collections.deque),
    *(datetime.date, datetime.datetime, datetime.time, datetime.timedelta, datetime.timezone),
    *(Decimal, fractions.Fraction, random.Random, difflib.SequenceMatcher),
)
_OF_ERRORS_AND_DIGESTS = _split("args colno digest hexdigest lineno msg pos")
PLAIN_ATTRIBUTES = frozenset[str]().union(*map(_public_names, _KINDS), _OF_ERRORS_AND_DIGESTS) - _split(
    "format format_map"
)

_NEVER_PLAIN = (ast.ClassDef, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await, ast.TryStar)


def shares_process(tree: ast.Module) -> bool:
    """Return whether rows may be graded one after another in one process."""
    nodes = list(ast.walk(tree))
    modules = {name: module for node in nodes for name, module in _imported_modules(node)}
    # A generator that is never finished runs its clean-up when it is collected: perhaps in a later row.
    generates = any(isinstance(node, ast.Yield | ast.YieldFrom) for node in nodes)
    cleans_up = any(isinstance(node, ast.Try | ast.With) for node in nodes)
    if generates and cleans_up:
        return False
    bound = {name for node in nodes for name in _bound_names(node)}
    if not bound.isdisjoint(modules) or any(name.startswith("__") for name in (*bound, *modules)):
        return False
    members = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    return all(_is_plain(node, modules=modules, members=members) for node in nodes)


def _imported_modules(node: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield (bound name, module)."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name, alias.name


def _bound_names(node: ast.AST) -> Iterator[str]:
    """Yield the names that a node binds other than modules: variables, parameters, functions, captures."""
    match node:
        case ast.Name(id=name, ctx=ast.Store() | ast.Del()) | ast.arg(arg=name) | ast.FunctionDef(name=name):
            yield name
        case ast.ImportFrom(names=names):
            yield from (alias.asname or alias.name for alias in names)
        case (
            ast.ExceptHandler(name=str() as name) | ast.MatchAs(name=str() as name) | ast.MatchStar(name=str() as name)
        ):
            yield name
        case ast.MatchMapping(rest=str() as name):
            yield name


def _is_plain(node: ast.AST, *, modules: dict[str, str], members: set[int]) -> bool:
    """Check one node. `members`: nodes whose attributes are accessed, the only permitted use of a module."""
    match node:
        case ast.Import(names=names):
            return all(
                alias.name in PLAIN_MODULES
                and "." not in alias.name
                and modules[alias.asname or alias.name] == alias.name
                for alias in names
            )
        case ast.ImportFrom(module=module, names=names, level=level):
            return level == 0 and all(alias.name in PLAIN_MODULES.get(module or "", ()) for alias in names)
        case ast.Name(id="__name__"):
            return True
        case ast.Name(id=name):
            if name in modules:
                return id(node) in members
            return not name.startswith("__") and (name in PLAIN_BUILTINS or not hasattr(builtins, name))
        case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in modules:
            return isinstance(node.ctx, ast.Load) and attribute in PLAIN_MODULES[modules[name]]
        case ast.Attribute(attr=attribute):
            return isinstance(node.ctx, ast.Load) and attribute in PLAIN_ATTRIBUTES
        case ast.MatchClass(kwd_attrs=names):
            return PLAIN_ATTRIBUTES.issuperset(names)
        case _:
            return not isinstance(node, _NEVER_PLAIN)
