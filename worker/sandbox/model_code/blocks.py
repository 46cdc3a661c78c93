"""Inside: the blocks of code in a text, as models write them."""

import re
from textwrap import dedent

_FENCED = re.compile(r"(?P<fence>```|~~~)(?P<first>[^\n]*?)(?:(?P=fence)|\n(?P<rest>.*?)(?:(?P=fence)|\Z))", re.DOTALL)
_IN_TAGS = re.compile(r"\[(?P<language>PYTHON|SQL|CODE)\](?P<code>.*?)(?:\[/(?P=language)\]|\Z)", re.DOTALL)
_LANGUAGE = re.compile(r"\s*(?P<language>[\w+#-]*)")
_ONE_LINE = re.compile(r"(?i:(?P<language>py\w*|\w*sql\w*)\s)?(?P<code>.*)", re.DOTALL)


def blocks(text: str) -> list[tuple[str, str]]:
    """Return (language, code) of each block, without its indentation: of fences, else of `[PYTHON]` or `[SQL]`.

    A text without a block is one block of no language.
    """
    found = [_of_fence(fenced["first"], fenced["rest"]) for fenced in _FENCED.finditer(text)]
    found = found or [(tagged["language"], tagged["code"]) for tagged in _IN_TAGS.finditer(text)] or [("", text)]
    return [(language.lower(), dedent(code).strip("\n")) for language, code in found]


def _of_fence(first: str, rest: str | None) -> tuple[str, str]:
    match = _ONE_LINE.match(first) if rest is None else _LANGUAGE.match(first)
    assert match is not None
    return match["language"] or "", match["code"] if rest is None else rest
