"""Code fields of a page under AppTest, which shows components but does not run their scripts."""

import json
from typing import Any

from streamlit.testing.v1 import AppTest

from frontend.widgets.code_field import text_key


def code_field(app: AppTest, label: str, *, place: int = 0) -> dict[str, Any]:
    """What the field was drawn with: `text`, `faults`, and the `key` it is known by."""
    found = []
    for element in app.get("bidi_component"):
        data = json.loads(element.proto.json or "{}")  # others have none
        if data.get("label") == label:
            found.append(data)
    return found[place]


def typed(app: AppTest, label: str, text: str, *, place: int = 0) -> AppTest:
    """As the editor's script tells it, a moment after the last key."""
    app.session_state[text_key(code_field(app, label, place=place)["key"])] = text
    return app.run()
