"""Inside: the blocks of code in a text, as models write them, and which of them a row's tests are about."""

import ast
import re
from collections.abc import Collection, Sequence
from textwrap import dedent

from worker.sandbox.tags import in_answer_tag, without_reasoning

_FENCED = re.compile(r"(?P<fence>```|~~~)(?P<first>[^\n]*?)(?:(?P=fence)|\n(?P<rest>.*?)(?:(?P=fence)|\Z))", re.DOTALL)
_IN_TAGS = re.compile(r"\[(?:(?P<language>PYTHON|SQL|CODE)|BEGIN)\](?P<code>.*?)(?:\[/(?P=language)\]|\Z)", re.DOTALL)
_DONE = re.compile(r"^[ \t]*\[DONE\]", re.MULTILINE)
"""After the code in MBPP's prompts, which begin it with `[BEGIN]`."""
_LANGUAGE = re.compile(r"\s*(?P<language>[\w+#-]*)")
_ONE_LINE = re.compile(r"(?i:(?P<language>py\w*|\w*sql\w*)\s)?(?P<code>.*)", re.DOTALL)
_DEFINED = re.compile(r"^(?:(?:async )?def |class )(\w+)", re.MULTILINE)
_ASSIGNED = re.compile(r"^(\w+)(?:[ \t]*:[^=\n]+)?[ \t]*=(?!=)", re.MULTILINE)
_IMPORTED = re.compile(r"^(?:import|from [\w.]+ import)[ \t]+(.+)", re.MULTILINE)
_SESSION = ">>>"


def blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, code) of each block, without its indentation: of fences, else in tags.

    A text without a block is one block of no language. Of a text with reasoning, what follows it counts.
    """
    text = _DONE.split(without_reasoning(text), maxsplit=1)[0]
    if text.count("```") == 1 and text.rstrip().endswith("```"):  # the prompt has opened the block
        text = text.rstrip().removesuffix("```")
    found = [_of_fence(fenced["first"], fenced["rest"]) for fenced in _FENCED.finditer(text)]
    found = found or [(tagged["language"] or "", tagged["code"]) for tagged in _IN_TAGS.finditer(text)]
    found = found or [("", in_answer_tag(text) or text)]
    return [(language.lower(), dedent(code).strip("\n")) for language, code in found]


def program_of(text: str, *, names: Collection[str]) -> str:
    """Return the last block that defines one of `names`, else the last block of code, with those before it if needed.

    Blocks named Python come first, then those without a language. What only shows how the code is used, or what it
    prints, is not part of it.
    """
    found = [(language, code) for language, code in blocks(text) if not code.startswith(_SESSION)]
    python = [code for language, code in found if language.startswith("py")]
    unnamed = [code for language, code in found if not language]
    every = [code for _, code in found]
    wanted = frozenset(names)
    for group in (python, unnamed, every):
        defining = [place for place, code in enumerate(group) if wanted & _defined(code)]
        if defining:
            return _with_needed([code for code in group[: defining[-1]] if _is_code(code)], group[defining[-1]], wanted)
    group = next(filter(None, (python, [code for code in unnamed if _is_code(code)], unnamed, every)), [""])
    return _with_needed(group[:-1], group[-1], wanted)


def _of_fence(first: str, rest: str | None) -> tuple[str, str]:
    match = _ONE_LINE.match(first) if rest is None else _LANGUAGE.match(first)
    assert match is not None
    return match["language"] or "", match["code"] if rest is None else rest


def _with_needed(before: Sequence[str], last: str, names: Collection[str]) -> str:
    """Return the last block, with the ones before it if it, or a test, uses what only they define."""
    earlier = "\n".join(before)
    missing = (_defined(earlier) | _imported(earlier)) - _defined(last) - _imported(last)
    return f"{earlier}\n{last}" if missing & {*names, *re.findall(r"\w+", last)} else last


def _defined(code: str) -> set[str]:
    return {*_DEFINED.findall(code), *_ASSIGNED.findall(code)}


def _imported(code: str) -> set[str]:
    return {name.split()[-1] for names in _IMPORTED.findall(code) for name in names.strip("() \r").split(",") if name}


def _is_code(block: str) -> bool:
    """Return whether a block does something, so that it is not what a program reads or prints."""
    if _DEFINED.search(block) or _IMPORTED.search(block):
        return True
    try:
        return any(isinstance(node, ast.Call) for node in ast.walk(ast.parse(block)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
