"""What a call changes is not there for the next one, whatever it is."""

import pytest

from tests.worker.sandbox.verifiers import body, outcomes, python, sample

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("python_allowed")]

CHANNELS = {
    "modules that are loaded": ("import sys", "__import__('wave')", "'wave' in sys.modules"),
    "the time of an import": (
        "import sys, time",
        "__import__('xml.dom.minidom')",
        "(lambda start: __import__('xml.dom.minidom') and time.perf_counter() - start < 1e-4)(time.perf_counter())",
    ),
    "time the processor spent": ("import time", "sum(range(5 * 10**6))", "time.process_time() > 0.04"),
    "patterns kept by re": (
        "import re",
        "re.compile('left for the next (call|row)')",
        "any('left for' in str(key) for key in re._cache)",
    ),
    "memory at its highest": (
        "import resource",
        "b'x' * (150 * 2**20)",
        "resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 140 * 1024",
    ),
    "random numbers that were drawn": (
        "import random",
        "random.seed(7)",
        "random.getstate() == random.Random(7).getstate()",
    ),
    "variables of the environment": ("import os", "os.environ.update(left='1')", "'left' in os.environ"),
    "its own process number": ("import os, sys", "setattr(sys, 'left', os.getpid())", "hasattr(sys, 'left')"),
    "the locale and the limit of recursion": (
        "import sys",
        "sys.setrecursionlimit(777)",
        "sys.getrecursionlimit() == 777",
    ),
    "the context of decimal": (
        "import decimal",
        "setattr(decimal.getcontext(), 'prec', 5)",
        "decimal.getcontext().prec == 5",
    ),
    "files and folders": (
        (
            "import os\nPLACES = [f'{folder}/rlsd-left' for folder in ('/tmp', '/dev/shm', '/var/tmp', '.')]\n\n"
            "def put(path):\n    try:\n        open(path, 'w').close()\n    except OSError:\n        pass"
        ),
        "[put(path) for path in PLACES]",
        "any(map(os.path.exists, PLACES))",
    ),
}


@pytest.mark.parametrize("name", CHANNELS)
def test_a_call_leaves_nothing_that_the_next_one_can_read(sandbox, name):
    head, leave, probe = CHANNELS[name]
    again = f"    {leave}\n    return max(float({probe}) for _ in range(5))"
    lines = f"before = float({probe})\nif item['first']:\n{again}\nreturn before"
    spec = python(body(lines, head=head))
    first, *others = sandbox.grade(spec, [sample(first=n == 0) for n in range(6)])
    assert outcomes(others) == [(0.0, "ok")] * 5
    if name not in BLOCKED_IN_ITS_OWN_CALL:
        assert outcomes([first]) == [(1.0, "ok")]  # otherwise the probe would prove nothing


BLOCKED_IN_ITS_OWN_CALL = {"files and folders"}
"""Channels that fail already in the call that tries them."""
