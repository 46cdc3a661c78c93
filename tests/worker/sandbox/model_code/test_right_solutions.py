"""Right solutions of many shapes pass, whatever kind of value they return and however the test looks at it."""

import pytest

from backend.verifiers.ready_made import READY_MADE
from backend.verifiers.specs import parse_spec
from tests.worker.sandbox.verifiers import sample

pytestmark = pytest.mark.usefixtures("python_allowed")

UNIT_TESTS = parse_spec(next(verifier.grader for verifier in READY_MADE if verifier.id == "unit-tests"))
HUMAN_EVAL = """
METADATA = {"author": "x"}


def check(candidate):
    assert candidate([1.0, 2.0, 3.9], 0.3) == False
    assert candidate([1.0, 2.0, 2.1], 0.3) == True
"""
CLOSE = """
def close(numbers, threshold):
    return any(abs(a - b) < threshold for i, a in enumerate(numbers) for b in numbers[:i])
"""
STACK = """
class Stack:
    def __init__(self, *items):
        self.items = list(items)
        self.size = len(items)

    def push(self, item):
        self.items.append(item)
        self.size += 1

    def pop(self):
        if not self.items:
            raise IndexError("empty")
        self.size -= 1
        return self.items.pop()

    def __len__(self):
        return self.size

    def __str__(self):
        return "Stack" + str(self.items)
"""
LINKED = """
class Node:
    def __init__(self, value, next=None):
        self.value, self.next = value, next

def reversed_list(head):
    before = None
    while head:
        head.next, before, head = before, head, head.next
    return before
"""

# name -> (code, tests)
RIGHT = {
    "an integer": ("def f(n): return n * n", ["assert f(3) == 9", "assert f(n=4) == 16"]),
    "a large integer": ("import math\nf = math.factorial", ["import math\nassert f(3000) == math.factorial(3000)"]),
    "a float within a tolerance": (
        "def f(n): return n ** 0.5",
        ["assert abs(f(2) - 1.41421) < 1e-4", "assert math.isclose(f(2), 1.41421, rel_tol=1e-4)"],
    ),
    "infinity and not a number": (
        "def f(x): return float(x)",
        ["assert f('inf') == float('inf')", "import math\nassert math.isnan(f('nan'))"],
    ),
    "a complex number": ("def f(z): return z * 1j", ["assert f(2 + 1j) == -1 + 2j"]),
    "text": ("def f(s): return s[::-1]", ["assert f('añ☃\\ud800') == '\\ud800☃ña'"]),
    "bytes": ("def f(s): return s.encode() + bytes([0, 255])", ["assert f('é') == b'\\xc3\\xa9\\x00\\xff'"]),
    "None": ("def f(x): pass", ["assert f(1) is None"]),
    "a bool": ("def f(x): return x > 1", ["assert f(2) is True", "assert not f(1)"]),
    "a list of lists": ("def f(n): return [[i] * i for i in range(n)]", ["assert f(3) == [[], [1], [2, 2]]"]),
    "a tuple": ("def f(a, b): return b, a", ["assert f(1, 2) == (2, 1)", "a, b = f(1, 2)\nassert (a, b) == (2, 1)"]),
    "a dict with keys of many kinds": (
        "def f(x): return {(1, 2): [x], 3: {None: x}, 'k': (x,), 2.5: {x}}",
        ["assert f(7) == {(1, 2): [7], 3: {None: 7}, 'k': (7,), 2.5: {7}}"],
    ),
    "a set": ("def f(x): return set(x)", ["assert f([3, 1, 3]) == {1, 3}", "assert 3 in f([3])"]),
    "a frozenset as a key": ("def f(x): return {frozenset(x): 1}", ["assert f([1]) == {frozenset({1}): 1}"]),
    "a Counter": (
        "from collections import Counter\ndef f(x): return Counter(x)",
        ["assert f('aab') == {'a': 2, 'b': 1}", "assert f('aab')['a'] == 2"],
    ),
    "a defaultdict": (
        "from collections import defaultdict\ndef f(x):\n    d = defaultdict(list)\n    d[x].append(1)\n    return d",
        ["assert f(5) == {5: [1]}"],
    ),
    "a named tuple": (
        "from collections import namedtuple\nP = namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
        ["assert f() == (1, 2)", "assert f()[1] == 2"],
    ),
    "a Decimal and a Fraction": (
        "from decimal import Decimal\nfrom fractions import Fraction\ndef f(): return Decimal('0.10'), Fraction(1, 3)",
        ["from decimal import *\nfrom fractions import *\nassert f() == (Decimal('0.1'), Fraction(2, 6))"],
    ),
    "dates": (
        "import datetime\ndef f(d): return d + datetime.timedelta(days=1), datetime.datetime(2020, 1, 2, 3)",
        ["from datetime import *\nassert f(date(2020, 2, 28)) == (date(2020, 2, 29), datetime(2020, 1, 2, 3))"],
    ),
    "an enumeration of integers": (
        "import enum\nclass C(enum.IntEnum):\n    RED = 1\ndef f(): return C.RED",
        ["assert f() == 1"],
    ),
    "views of a dict": ("def f(d): return d.keys()", ["assert sorted(f({'b': 1, 'a': 2})) == ['a', 'b']"]),
    "a range": ("def f(n): return range(n)", ["assert list(f(3)) == [0, 1, 2]", "assert f(3) == range(3)"]),
    "a generator": (
        "def f(n):\n    for i in range(n): yield i, [i]",
        [
            "assert list(f(2)) == [(0, [0]), (1, [1])]",
            "g = f(1)\nassert next(g) == (0, [0])\nassert next(g, None) is None",
        ],
    ),
    "a generator without end": (
        "import itertools\ndef f(): return itertools.count(5)",
        ["assert [n for n, _ in zip(f(), range(3))] == [5, 6, 7]"],
    ),
    "a map and a deque": (
        "from collections import deque\ndef f(x): return map(str, x)\ndef g(x): return deque(x)",
        ["assert list(f([1, 2])) == ['1', '2']", "assert list(g([1])) == [1]\nassert len(g([1])) == 1"],
    ),
    "an error that the test expects": (
        "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x",
        [
            "try:\n    f(-1)\n    assert False\nexcept ValueError as error:\n    assert str(error) == 'negative'",
            "assert f(1) == 1",
        ],
    ),
    "numpy, which the verifier does not import": (
        "import numpy as np\ndef f(x): return np.array(x) * 2",
        ["assert f([1, 2]) == [2, 4]", "import numpy\nassert numpy.allclose(f([0.1]), [0.2])"],
    ),
    "a list changed in place": (
        "def f(x):\n    x.sort()\n    x.append(9)",
        ["x = [3, 1]\nf(x)\nassert x == [1, 3, 9]", "x = [2]\nassert f(x) is None\nassert x == [2, 9]"],
    ),
    "a dict and a set changed in place": (
        "def f(d, s):\n    d['k'] = [1]\n    s.discard(1)",
        ["d, s = {}, {1, 2}\nf(d, s)\nassert d == {'k': [1]}\nassert s == {2}"],
    ),
    "a class": (
        STACK,
        [
            "s = Stack()\ns.push(1)\ns.push([2])\nassert s.pop() == [2]\nassert s.size == 1\nassert s.items == [1]",
            "assert len(Stack(1, 2)) == 2\nassert str(Stack(1)) == 'Stack[1]'",
            "try:\n    Stack().pop()\nexcept IndexError:\n    pass\nelse:\n    assert False",
        ],
    ),
    "linked objects": (
        LINKED,
        [
            "head = reversed_list(Node(1, Node(2)))\nassert head.value == 2\nassert head.next.next is None",
            "a, b = Node(1), Node(2)\na.next = b\nassert a.next is b\nassert reversed_list(a) is b",
        ],
    ),
    "a class with class methods": (
        (
            "class C:\n    n = 1\n    @staticmethod\n    def f(x): return x\n"
            "    @classmethod\n    def g(cls): return cls.n"
        ),
        ["assert C.f(3) == 3", "assert C.g() == C.n == 1"],
    ),
    "a solution in a class": (
        (
            "class Solution:\n    def twoSum(self, nums, target):\n        seen = {}\n"
            "        for i, n in enumerate(nums):\n"
            "            if target - n in seen: return [seen[target - n], i]\n            seen[n] = i"
        ),
        [
            "assert Solution().twoSum([2, 7, 11], 9) == [0, 1]",
            "assert Solution().twoSum(nums=[3, 3], target=6) == [0, 1]",
        ],
    ),
    "types that the task has imported": (
        "def close(numbers: List[float], limit: Optional[float] = None) -> bool:\n    return numbers[0] < (limit or 9)",
        ["assert close([1.0])", "assert not close([10.0])"],
    ),
    "what LeetCode imports": (
        (
            "class Solution:\n    def f(self, words: List[str]) -> Dict[str, int]:\n        seen = defaultdict(int)\n"
            "        queue = deque(words)\n        while queue: seen[queue.popleft()] += math.gcd(2, 4)\n"
            "        return dict(Counter(seen)) | {'most': pow(2, 5, 7) + inf}"
        ),
        ["assert Solution().f(['a', 'a']) == {'a': 4, 'most': float('inf')}"],
    ),
    "a function that returns functions": (
        "def f(n): return lambda x: x + n",
        ["assert f(1)(2) == 3", "g = f(5)\nassert [g(n) for n in (1, 2)] == [6, 7]"],
    ),
    "a dataclass": (
        (
            "from __future__ import annotations\nfrom dataclasses import dataclass\n"
            "@dataclass\nclass P:\n    x: int\n    y: int = 2"
        ),
        ["p = P(1)\nassert (p.x, p.y) == (1, 2)\nassert str(p) == 'P(x=1, y=2)'"],
    ),
    "a variable": ("ANSWER = 6 * 7\nITEMS = [1]", ["assert ANSWER == 42", "assert ITEMS == [1]"]),
    "the name of a builtin": ("def sum(a, b): return a * b", ["assert sum(2, 5) == 10"]),
    "the name of a module": ("def bisect(x): return x // 2", ["assert bisect(7) == 3"]),
    "a module that the code and not the test imports": (
        "import math\ndef f(r): return math.pi * r",
        ["assert math.isclose(f(1), 3.14159, abs_tol=1e-4)"],
    ),
    "print": (
        "def f(): print('a', 1); print('b', end='')",
        [
            (
                "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()) as o:\n    f()\n"
                "assert o.getvalue() == 'a 1\\nb'"
            )
        ],
    ),
    "recursion": (
        "import sys\nsys.setrecursionlimit(10**6)\ndef f(n): return n and 1 + f(n - 1)",
        ["assert f(20_000) == 20_000"],
    ),
    "a cache": (
        "from functools import lru_cache\n@lru_cache(None)\ndef f(n): return n if n < 2 else f(n-1) + f(n-2)",
        ["assert f(90) == 2880067194370816120"],
    ),
    "typing and future imports": (
        "from typing import List, Optional\ndef f(x: List[int]) -> Optional[int]: return max(x, default=None)",
        ["assert f([]) is None", "assert f([1, 2]) == 2"],
    ),
    "asyncio": (
        "import asyncio\nasync def g(n):\n    await asyncio.sleep(0)\n    return n\ndef f(n): return asyncio.run(g(n))",
        ["assert f(3) == 3"],
    ),
    "a main guard and an exit": (
        "import sys\ndef f(n): return n\nif __name__ == '__main__':\n    raise RuntimeError\nsys.exit(0)",
        ["assert f(3) == 3"],
    ),
    "state between calls": (
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n",
        ["assert f() == 1\nassert f() == 2"],
    ),
    "random numbers": (
        "import random\ndef f(): return random.random(), random.randint(1, 6)",
        ["a, b = f()\nassert 0 <= a < 1 and 1 <= b <= 6"],
    ),
    "a list that occurs twice": ("def f():\n    x = [1]\n    return [x, x]", ["assert f() == [[1], [1]]"]),
    "a long result": ("def f(n): return list(range(n))", ["assert f(10**5) == list(range(10**5))"]),
    "a program that reads lines": (
        "n = int(input())\nprint(sum(int(input()) for _ in range(n)))",
        [{"input": "2\n3\n4\n", "output": "7"}, {"input": "0\n", "output": "0\n"}],
    ),
    "a program that reads all at once": (
        "import sys\nfor line in sys.stdin: print(line.strip().upper())",
        [{"input": "a\nb", "output": "A\nB\n"}],
    ),
    "a program that reads bytes": (
        "import sys\ndata = sys.stdin.buffer.read().split()\nsys.stdout.buffer.write(b' '.join(data[::-1]))",
        [{"input": "1 2 3", "output": "3 2 1"}],
    ),
    "a program that reads descriptors": (
        "import os\nos.write(1, os.read(0, 99)[::-1])",
        [{"input": "abc", "output": "cba"}],
    ),
    "a program that opens its input": ("print(open(0).read().strip())", [{"input": "x\n", "output": "x"}]),
    "a program with a main guard": (
        "def main():\n    print(input())\n\nif __name__ == '__main__':\n    main()\n    exit()",
        [{"input": "x", "output": "x   \n\n"}],
    ),
    "a program that prints at its end": (
        (
            "import atexit, io, sys\nout = sys.stdout = io.StringIO()\n"
            "atexit.register(lambda: sys.__stdout__.write(out.getvalue()))\nprint(input())"
        ),
        [{"input": "x", "output": "x"}],
    ),
    "check of a candidate": (CLOSE, [HUMAN_EVAL]),
    "check of a candidate, called": (CLOSE, [HUMAN_EVAL + "\ncheck(close)"]),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_right_solution_passes_every_test(sandbox, name):
    code, tests = RIGHT[name]
    row = {"tests": tests} | ({"entry_point": "close"} if code == CLOSE else {})
    (record,) = sandbox.grade(UNIT_TESTS, [sample(f"Here:\n```python\n{code}\n```", **row)])
    assert record.status.value == "ok", record
    assert record.score == 1.0, record
