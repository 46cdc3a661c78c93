import ast

import pytest

from backend.verifiers.isolation import shares_process

PLAIN = """
import re
from collections import Counter
from dataclasses import dataclass
from datetime import datetime

TABLE = {"a": 1}

@dataclass
class Answer:
    text: str
    def __post_init__(self):
        self.text = self.text.strip()

def grade(sample, item):
    found = re.search(r"(?P<x>\\d+)", sample["output_text"])
    counts = Counter(sample["output_text"])
    counts["a"] += 1
    day = datetime.strptime("2024-01-01", "%Y-%m-%d")
    return float(found is not None and Answer(found.group("x")).text == str(item["answer"]))
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
    "x = '__globals__'",
]


def test_ordinary_source_shares_a_process():
    assert shares_process(ast.parse(PLAIN))


@pytest.mark.parametrize("source", REACHING)
def test_source_that_reaches_what_outlives_a_row_does_not(source):
    assert not shares_process(ast.parse(source))
