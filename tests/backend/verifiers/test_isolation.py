import ast

import pytest

from backend.verifiers.isolation import shares_process

PLAIN = """
import re
from collections import Counter
from datetime import datetime
from typing import Any
import json as j
import math, statistics

TABLE = {"a": 1}
NUMBER = re.compile(r"-?\\d+(?:\\.\\d+)?", re.MULTILINE | re.I)

def words(text: str, *more, **named) -> list[str]:
    return [word.casefold().strip(".,") for word in text.split()]

def number(text):
    try:
        return float(text)
    except (ValueError, TypeError) as error:
        print(f"{error!r:.60}", error.args)
        return None

def close(a, b):
    return math.isclose(a, b) or abs(statistics.mean([a, b]) - a) < 1e-6

def grade(sample: dict[str, Any], item: dict[str, object]) -> float:
    try:
        stated = j.loads(sample["output_text"])
    except j.JSONDecodeError as error:
        stated = {"at": error.pos}
    match stated:
        case {"answer": str() as answer, **rest} if not rest:
            TABLE[answer] = TABLE.get(answer, 0) + 1
        case [first, *_]:
            TABLE["a"] += len(first)
    found = re.search(r"(?P<x>\\d+)", sample["output_text"])
    counts = Counter(sample["output_text"])
    counts["a"] += 1
    day = datetime.strptime("2024-01-01", "%Y-%m-%d")
    best = max(words("b a"), key=lambda word: counts[word])
    squares = {n: n ** 2 for n in range(3) if number(str(n)) is not None}
    return float(found is not None and found.group("x") == str(item["answer"]) and best and day.year > len(squares))

if __name__ == "__main__":
    print(grade({"output_text": ""}, {}))
"""

REACHING = [
    "import sys",
    "import os.path",
    "from json import *",
    "from statistics import sys",
    "import statistics\nstatistics.sys.modules.clear()",
    "import json\njson.loads = None",
    "import json\njson.decoder.BACKSLASH['x'] = 1",
    "import re\nre._cache.clear()",
    "import re\nre.purge()",
    "import decimal\ndecimal.getcontext().prec = 2",
    "x = ().__class__",
    "class A:\n    def __setattr__(self, name, value): pass",
    "class A:\n    def f(self): return self.__class__",
    "match 1:\n    case int(__class__=c): pass",
    "getattr(1, 'real')",
    "eval('1')",
    "exec('1')",
    "open('x')",
    "globals()",
    "__builtins__",
    "from operator import attrgetter",
    "import functools\nfunctools.update_wrapper(1, 2)",
    "def g():\n    yield\ng().gi_frame",
    "try:\n    1/0\nexcept Exception as e:\n    e.__traceback__",
    "'{0.__globals__}'.format(len)",
    "import statistics as self\ndef f(self): self.finite = 1\nf(self.sys.modules['worker.sandbox.grading'])",
    "def patch(self): self.finite = 1",
    "class A:\n    def f(self): self.x = 1\nA.f(1)",
    "import decimal\nt = decimal.ExtendedContext.traps\nt[decimal.DivisionByZero] = True",
    "import decimal\ndecimal.DefaultContext.clear_flags()",
    "from decimal import localcontext\nlocalcontext().__enter__()",
    "import json\nx = json",
    "import json\nx = [json][0].decoder",
    "import json\nmatch json:\n    case object(decoder=d): d.BACKSLASH.clear()",
    "import json\ndef f(json): return json.decoder",
    "import json\nfor json in [1]: pass",
    "import json as j\nimport math as j\nj.sqrt",
    "import json as __builtins__\ndecoder.BACKSLASH.clear()",
    "import collections.abc",
    "from collections import abc",
    "from collections import Counter\nCounter.most_common = None",
    "from collections import Counter\nCounter.most_common += 1",
    "from collections import Counter\ndel Counter.most_common",
    "from json import loads\nfor loads.x in [1]: pass",
    "from dataclasses import dataclass\nfrom collections import Counter\ndataclass(Counter)",
    "from functools import wraps",
    "from random import _inst",
    "import random\nrandom._inst.x",
    "type(1)",
    "e = __name__.__class__",
    "def __builtins__(): pass",
    "async def f(): pass",
    "def f():\n    try:\n        yield\n    finally:\n        print('later')",
    "from typing import get_type_hints",
    "import statistics\nstatistics.NormalDist.x",
    "from . import json",
    "import sympy",
]


def test_ordinary_source_shares_a_process():
    assert shares_process(ast.parse(PLAIN))


@pytest.mark.parametrize("source", REACHING)
def test_source_that_reaches_what_outlives_a_row_does_not(source):
    assert not shares_process(ast.parse(source))
