"""The code in a text is found however a model marks it."""

import pytest

from worker.sandbox.model_code.blocks import blocks

FOUND = {
    "fences": ("So:\n```python\nx = 1\n```\nIt prints:\n```\n1\n```", [("python", "x = 1"), ("", "1")]),
    "capital letters": ("```SQL\nSELECT 1\n```", [("sql", "SELECT 1")]),
    "not closed": ("```py\nx = 1", [("py", "x = 1")]),
    "tildes": ("~~~python\nx = '```'\n~~~", [("python", "x = '```'")]),
    "in a list": ("1. A:\n   ```python\n   if x:\n       y\n   ```\n2. B", [("python", "if x:\n    y")]),
    "on one line": ("```sql SELECT 1``` or ```SELECT 2```", [("sql", "SELECT 1"), ("", "SELECT 2")]),
    "tags": ("[PYTHON]\nx = 1\n[/PYTHON]\n[SQL]SELECT 1", [("python", "x = 1"), ("sql", "SELECT 1")]),
    "fences in tags": ("[PYTHON]\n```python\nx = 1\n```\n[/PYTHON]", [("python", "x = 1")]),
    "indented as a whole": ("    if x:\n        y", [("", "if x:\n    y")]),
    "no code": ("I do not know.", [("", "I do not know.")]),
}


@pytest.mark.parametrize(("text", "found"), FOUND.values(), ids=FOUND)
def test_blocks_are_found_without_their_indentation(text, found):
    assert blocks(text) == found
