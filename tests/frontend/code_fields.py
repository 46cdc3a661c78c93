"""Code fields of a page under AppTest, which renders components but does not run their scripts."""

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from frontend.widgets.code_field import text_key


def code_field(app: AppTest, label: str, *, place: int = 0) -> dict[str, Any]:
    """Return the data of a field: `text`, `faults`, `key`."""
    found = []
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.json or "{}")  # other components have none
        if data.get("label") == label:
            found.append(data)
    return found[place]


def typed(app: AppTest, label: str, text: str, *, place: int = 0) -> AppTest:
    """Set a field's text, as the editor's script does shortly after the last key press."""
    app.session_state[text_key(code_field(app, label, place=place)["key"])] = text
    return app.run()
