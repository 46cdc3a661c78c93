"""Inside: code that a model wrote runs in a process of its own; a verifier imports this package as `model_code`.

`blocks`: the code in a text. `program`, `process`: what the verifier does with such a process. `tests`, `unit_tests`:
the tests of a row. `child`: that process. `spawner`: the server's part, which forks it. `wire`: the values that cross
between them.
"""

from worker.sandbox.model_code.blocks import blocks
from worker.sandbox.model_code.program import CannotSendError, CodeError, Program, Remote
from worker.sandbox.model_code.tests import tests_of
from worker.sandbox.model_code.unit_tests import program_for, run_tests
from worker.sandbox.model_code.verdict import score_if_stopped

__all__ = [
    "CannotSendError",
    "CodeError",
    "Program",
    "Remote",
    "blocks",
    "program_for",
    "run_tests",
    "score_if_stopped",
    "tests_of",
]
