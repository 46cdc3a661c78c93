"""The code in a text is found however a model marks it."""

import pytest

from worker.sandbox.model_code.blocks import blocks, program_of

FOUND = {
    "fences": ("So:\n```python\nx = 1\n```\nIt prints:\n```\n1\n```", [("python", "x = 1"), ("", "1")]),
    "capital letters": ("```SQL\nSELECT 1\n```", [("sql", "SELECT 1")]),
    "not closed": ("```py\nx = 1", [("py", "x = 1")]),
    "tildes": ("~~~python\nx = '```'\n~~~", [("python", "x = '```'")]),
    "in a list": ("1. A:\n   ```python\n   if x:\n       y\n   ```\n2. B", [("python", "if x:\n    y")]),
    "on one line": ("```sql SELECT 1``` or ```SELECT 2```", [("sql", "SELECT 1"), ("", "SELECT 2")]),
    "tags": ("[PYTHON]\nx = 1\n[/PYTHON]\n[SQL]SELECT 1", [("python", "x = 1"), ("sql", "SELECT 1")]),
    "a fence that the prompt has opened": ("x = 1\n```\n", [("", "x = 1")]),
    "one that is not closed": ("Here:\n```python\nx = 1\n", [("python", "x = 1")]),
    "MBPP's marks": ("[BEGIN]\nx = 1\n[DONE]\n\nYou are an expert.", [("", "x = 1")]),
    "the second of them": ("x = 1\n[DONE]\n", [("", "x = 1")]),
    "an answer's tag": ("<answer>\nSELECT 1\n</answer>", [("", "SELECT 1")]),
    "a solution's tag": ("So:\n<solution>SELECT 1</solution>", [("", "SELECT 1")]),
    "fences in tags": ("[PYTHON]\n```python\nx = 1\n```\n[/PYTHON]", [("python", "x = 1")]),
    "indented as a whole": ("    if x:\n        y", [("", "if x:\n    y")]),
    "after the reasoning": ("<think>```python\nx = 1\n```</think>```python\nx = 2\n```", [("python", "x = 2")]),
    "in the reasoning alone": ("<think>```python\nx = 1\n```</think>\nI give up.", [("", "I give up.")]),
    "no code": ("I do not know.", [("", "I do not know.")]),
}


@pytest.mark.parametrize(("text", "found"), FOUND.values(), ids=FOUND)
def test_blocks_are_found_without_their_indentation(text, found):
    assert blocks(text) == found


F, G = "def f(x):\n    return g(x)", "def g(x):\n    return x"
FENCE = "```"


def fenced(*parts):
    """Each (language, code) as a block, after a line of prose."""
    return "\n".join(f"Next:\n{FENCE}{language}\n{code}\n{FENCE}" for language, code in parts)


# name -> (text, the code that a test of `f` is about)
PROGRAMS = {
    "the last definition": (fenced(("python", "def f(x): return 0"), ("python", F)), F),
    "a function of another name after it": (fenced(("python", F), ("python", "def h(x): return 0")), F),
    "an import of the code after it": (fenced(("python", F), ("python", "from solution import f\nprint(f(2))")), F),
    "an import under a name after it": (fenced(("py", F), ("py", "import mymodule as m\nassert m.f(2)")), F),
    "a use that needs a file after it": (fenced(("python", F), ("python", "f(open('x').read())")), F),
    "an output after it": (fenced(("", F), ("", "4")), F),
    "an output with a name after it": (fenced(("", F), ("", "Output: 4")), F),
    "an output of several lines after it": (fenced(("", F), ("", "3\n1 2 3")), F),
    "a command after it": (fenced(("", F), ("bash", "python a.py")), F),
    "a session after it": (fenced(("", F), ("pycon", ">>> f(2)\n4")), F),
    "a use named Python after it": (fenced(("", F), ("python", "print(f(2))")), F),
    "code without a name after it": (fenced(("python", F), ("", "def f(x): return 0")), F),
    "a language that is none": (fenced(("code", F), ("text", "4")), F),
    "a lambda": (fenced(("python", "f = lambda x: x"), ("python", "print(f(2))")), "f = lambda x: x"),
    "a constant with its type": (fenced(("python", "f: int = 3"), ("python", "print(f)")), "f: int = 3"),
    "what it needs before it": (fenced(("python", G), ("python", F)), f"{G}\n{F}"),
    "an import before it": (
        fenced(("python", "import math"), ("python", "def f(x): return math.sqrt(x)")),
        "import math\ndef f(x): return math.sqrt(x)",
    ),
    "an attempt that is broken before it": (fenced(("python", "def f(x) return"), ("python", F)), F),
    "the last one broken": (fenced(("python", F), ("python", "def f(x) return")), "def f(x) return"),
    "nothing that defines it": (fenced(("python", G), ("python", "print(1)")), "print(1)"),
    "no code": ("Add the numbers.", "Add the numbers."),
}


@pytest.mark.parametrize(("text", "program"), PROGRAMS.values(), ids=PROGRAMS)
def test_the_code_that_the_tests_are_about_is_taken(text, program):
    assert program_of(text, names={"f"}) == program


def test_blocks_that_define_several_tested_names_are_taken_together():
    text = fenced(("python", G), ("python", "def h(x): return x"), ("python", "print(g(h(1)))"))
    assert program_of(text, names={"g", "h"}) == f"{G}\ndef h(x): return x"


READS = "n = int(input())\nprint(n)"


@pytest.mark.parametrize(
    "text",
    [
        fenced(("python", READS), ("", "5"), ("", "5")),
        fenced(("", READS), ("", "5"), ("", "3\n1 2 3")),
        fenced(("", READS), ("", "[1, 2]"), ("", "Answer: 5")),
        fenced(("", READS), ("sh", "echo 5 | python a.py")),
        fenced(("python", "print(1)"), ("python", READS)),
    ],
)
def test_of_a_program_the_last_code_is_taken_and_not_what_it_reads_or_prints(text):
    assert program_of(text, names=()) == READS
