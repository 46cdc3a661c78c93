"""Whether a Python verifier may share one process with other rows, judged from its source.

Rows of a batch share an interpreter. Source that is *plain* finds nothing in it that both outlives a row and can be
changed or read again: every name, attribute and import it holds is on the lists below, it stores no attribute, defines
no class, and leaves nothing behind that runs when memory is collected. All other source runs in a process of its own
for every call, which costs milliseconds and no more, so whatever the lists do not know counts as not plain.

Judging is a matter of correctness between rows of one author's verifier; the walls of the sandbox do not lean on it.
Not covered: what an interpreter does for itself (compiled patterns kept, addresses in a `repr`, warnings shown once),
which changes speed and printed text.
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


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _public(thing: object) -> frozenset[str]:
    return frozenset(name for name in dir(thing) if not name.startswith("_"))


# What may be taken from each module: functions without state, constants, and classes whose instances are new. Nothing
# that changes its argument (`wraps`, `dataclass`), evaluates text, or leads to a container or context the module keeps.
PLAIN_MODULES = {
    "__future__": _words("annotations"),
    "ast": _words("literal_eval"),
    "base64": _words("b16decode b16encode b32decode b32encode b64decode b64encode b85decode b85encode"),
    "bisect": _words("bisect bisect_left bisect_right insort insort_left insort_right"),
    "cmath": _public(cmath),
    "collections": _words("ChainMap Counter OrderedDict defaultdict deque"),
    "collections.abc": _words("Callable Collection Iterable Iterator Mapping Sequence Set"),
    "copy": _words("copy deepcopy"),
    "datetime": _words("MAXYEAR MINYEAR UTC date datetime time timedelta timezone"),
    "decimal": _words(
        "Decimal DecimalException DivisionByZero InvalidOperation ROUND_CEILING ROUND_DOWN ROUND_FLOOR ROUND_HALF_DOWN "
        "ROUND_HALF_EVEN ROUND_HALF_UP ROUND_UP"
    ),
    "difflib": _words("SequenceMatcher get_close_matches ndiff unified_diff"),
    "fractions": _words("Fraction"),
    "functools": _words("cache cmp_to_key lru_cache partial reduce"),
    "hashlib": _words("blake2b md5 sha1 sha256 sha512"),
    "heapq": _words("heapify heappop heappush heappushpop heapreplace merge nlargest nsmallest"),
    "html": _words("escape unescape"),
    "itertools": _public(itertools),
    "json": _words("JSONDecodeError dumps loads"),
    "math": _public(math),
    "numbers": _words("Complex Integral Number Rational Real"),
    "operator": _words("add and_ contains eq floordiv ge gt itemgetter le lt mod mul ne neg not_ or_ sub truediv xor"),
    "random": _words("Random choice choices gauss randint random randrange sample seed shuffle uniform"),
    "re": _words(
        "A ASCII DOTALL I IGNORECASE M MULTILINE Match Pattern S VERBOSE X compile error escape findall finditer "
        "fullmatch match search split sub subn"
    ),
    "statistics": _words(
        "StatisticsError correlation fmean geometric_mean harmonic_mean mean median median_high median_low mode "
        "multimode pstdev pvariance quantiles stdev variance"
    ),
    "string": _words(
        "ascii_letters ascii_lowercase ascii_uppercase capwords digits hexdigits octdigits printable punctuation "
        "whitespace"
    ),
    "textwrap": _words("dedent fill indent shorten wrap"),
    "time": _words("monotonic perf_counter sleep time"),
    "typing": _words(
        "Any Callable Dict Final Iterable Iterator List Literal Mapping Optional Sequence Set Tuple Union cast"
    ),
    "unicodedata": _words("category combining decimal digit name normalize numeric"),
    "zlib": _words("adler32 compress crc32 decompress"),
}

PLAIN_BUILTINS = _words(
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
_OF_ERRORS_AND_DIGESTS = _words("args colno digest hexdigest lineno msg pos")
PLAIN_ATTRIBUTES = frozenset[str]().union(*map(_public, _KINDS), _OF_ERRORS_AND_DIGESTS) - _words("format format_map")

_NEVER_PLAIN = (ast.ClassDef, ast.AsyncFunctionDef, ast.AsyncFor, ast.AsyncWith, ast.Await, ast.TryStar)


def shares_process(tree: ast.Module) -> bool:
    """True where rows may be graded one after another in one process."""
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
    """(name it is bound to, module)."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            yield alias.asname or alias.name, alias.name


def _bound_names(node: ast.AST) -> Iterator[str]:
    """What a node binds beside modules: variables, parameters, functions, captures."""
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
    """`members` are the nodes with an attribute taken from them: the one thing a module may be used for."""
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
