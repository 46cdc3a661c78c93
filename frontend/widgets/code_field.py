"""A code editor: colours, line numbers, brackets, search, errors marked in their lines.

CodeMirror as a Streamlit component; `npm run build` in `frontend/code_editor` makes its bundle,
`frontend/assets/code_editor.js`. It sends the text shortly after the last key press, on blur, and on Ctrl+Enter.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import streamlit as st

HTML = '<label class="label"></label><div class="editor"></div>'
CSS = """
.label { display: block; font-size: .93rem; margin-bottom: .3rem; color: var(--st-text-color); }
.editor {
  --code-keyword: light-dark(#7c3aed, #c4b5fd); --code-string: light-dark(#15703a, #86efac);
  --code-number: light-dark(#a04508, #fcd34d); --code-comment: light-dark(#5b6270, #9ca3af);
  --code-name: light-dark(#1d4ed8, #93c5fd); --code-fault: light-dark(#b91c1c, #fca5a5);
  --code-line: rgba(99, 102, 241, .08); --code-selection: rgba(99, 102, 241, .28);
  border: 1px solid var(--st-border-color); border-radius: var(--st-base-radius, .5rem);
  background: var(--st-secondary-background-color); overflow: hidden;
}
.editor:focus-within { border-color: var(--st-primary-color); }
.editor .cm-editor { height: var(--height); }
"""
JS = """
const editors = new WeakMap();
export default async function (component) {
  const { draw } = await import(new URL("assets/code_editor.js", document.baseURI));
  return draw(component, editors);
}
"""
_editor = st.components.v2.component("rlsd_code_editor", html=HTML, css=CSS, js=JS)
_LINE = re.compile(r"^  line (\d+), in ", re.MULTILINE)

Language = Literal["python", "json", "regex"]


@dataclass(frozen=True, slots=True)
class CodeFault:
    """An error at a line and column, both from 1; without a column the whole line is marked."""

    line: int
    message: str
    column: int | None = None


def field(
    label: str, given: str, *, language: Language, key: str, height_px: int, faults: Sequence[CodeFault] = ()
) -> str:
    """Show the editor and return its text, which starts as `given` if the field was not on the page before."""
    kept, drawn = text_key(key), f"{key}_editor"
    if kept not in st.session_state or drawn not in st.session_state:
        st.session_state[kept] = given
    text: str = st.session_state[kept]
    found = [*faults, *_syntax(text, language)]
    data: dict[str, Any] = {
        "key": key,
        "label": label,
        "text": text,
        "language": language,
        "height": height_px,
        "wraps": language != "json",
        "tabs": language == "python",
        "faults": [asdict(fault) for fault in found],
    }
    _editor(key=drawn, data=data, default={"text": text}, on_text_change=lambda: _take(drawn, kept))
    return text


def text_key(key: str) -> str:
    """Return the session key of a field's text while it is on the page."""
    return f"{key}_text"


def faults_of_run(reason: str | None, *, status: str) -> list[CodeFault]:
    """Return where a verifier program failed, by the lines that the traceback names."""
    if status != "error" or not reason:
        return []
    lines = [int(found) for found in _LINE.findall(reason)]
    return [CodeFault(line, f"Stopped here: {reason.partition(chr(10))[0]}") for line in lines[-1:]]


def _take(drawn: str, kept: str) -> None:
    text = st.session_state[drawn].get("text")
    if isinstance(text, str):
        st.session_state[kept] = text


def _syntax(text: str, language: Language) -> list[CodeFault]:
    """Return Python syntax errors. The text is parsed here, without a request, and never run."""
    if language != "python":
        return []
    try:
        ast.parse(text)
    except SyntaxError as error:
        return [CodeFault(error.lineno or 1, error.msg, error.offset)]
    except (ValueError, RecursionError, MemoryError):
        return [CodeFault(1, "This is not valid Python.")]
    return []
