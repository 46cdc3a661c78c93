"""Patterns of `match` that ask for messages, which the sandbox cannot note as it does look-ups. Pure."""

import ast
from collections.abc import Iterator

from backend.errors import AppError
from backend.verifiers.entry_points import EntryPoint
from backend.verifiers.signatures import MESSAGE_KEYS


def require_no_message_patterns(tree: ast.Module, entry: EntryPoint) -> None:
    """Raise AppError(400) for a `case` that asks for messages, if the prompt or completion may be matched with it.

    They are texts unless the verifier looks a message up in them (worker/sandbox/read_as.py), so the `case` would
    never match.
    """
    if not entry.may_read_messages or not any(key in _texts(tree) for key in MESSAGE_KEYS):
        return
    for pattern in _patterns(tree):
        if _asks_for_messages(pattern):
            raise AppError(
                f"Line {pattern.lineno}: a 'case' cannot ask for messages here, because prompts and completions are "
                "texts until a message is looked up in them: write 'completion[0][\"content\"]', or 'isinstance'.",
                code="message_pattern",
            )


def _patterns(tree: ast.Module) -> Iterator[ast.pattern]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Match) and not isinstance(node.subject, ast.Call):
            yield from (each for case in node.cases for each in ast.walk(case.pattern) if isinstance(each, ast.pattern))


def _texts(tree: ast.Module) -> set[object]:
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def _asks_for_messages(pattern: ast.pattern) -> bool:
    match pattern:
        case ast.MatchMapping(keys=keys):
            return any(isinstance(key, ast.Constant) and key.value in MESSAGE_KEYS for key in keys)
        case ast.MatchClass(cls=ast.Name(id="list" | "dict")):
            return True
        case ast.MatchSequence(patterns=[_, *_] as items):
            return all(isinstance(item, ast.MatchAs | ast.MatchStar) for item in items)
    return False
