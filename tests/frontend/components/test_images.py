"""Questions are shown with their pictures wherever somebody judges what was answered."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from frontend.api import Client
from frontend.api.types import Row
from frontend.components import asked_rows, questions
from tests.frontend.api.test_api import new_job
from tests.frontend.pages.job.test_tabs import part, take_steps
from tests.frontend.test_pages import opened

LOOK = {"type": "image"}


@pytest.fixture
def address_of_api(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pictures that pages have asked for, by SHA-256."""
    found: list[str] = []
    file_image = Client.file_image

    def counted(self: Client, file_id: str, sha256: str) -> bytes:
        found.append(sha256)
        return file_image(self, file_id, sha256)

    monkeypatch.setattr(Client, "file_image", counted)
    return found


def row_of(*messages: tuple[str, Any], images: list[str]) -> Row:
    said = [{"role": role, "content": content} for role, content in messages]
    return {"messages": said, "images": images, "item": {}, "reference": {"answer": "red", "solution": None}}


@pytest.mark.usefixtures("address_of_api")
def test_the_question_of_a_completion_is_shown_with_its_picture_which_is_read_once(
    client: Client, key: str, picture_rows: Path, read: list[str]
) -> None:
    job_id = new_job(client, picture_rows)
    take_steps(job_id, 2)
    app = part(key, job_id, "Completions")
    assert "**What colour is number 0?**" in [text.value for text in app.markdown]
    app.button(key="card_group_rollout-2-0").click().run()
    assert not app.exception
    assert len(app.get("image")) == 1
    assert "What colour is number 0?" in [text.value for text in app.text]
    app.run()
    assert len(app.get("image")) == 1
    assert len(read) == 1


@pytest.mark.usefixtures("address_of_api")
def test_the_playground_shows_a_picture_in_its_place_in_the_question(
    client: Client, key: str, picture_rows: Path
) -> None:
    new_job(client, picture_rows)
    app = opened("playground", key=key)
    app.segmented_control(key="ask_from").set_value("A row of a dataset").run()
    assert not app.exception
    assert len(app.get("image")) == 1
    assert "[image]" not in "".join(text.value for text in app.text)


def drawn(row: Row) -> list[str]:
    """What stands on the page for this row: its words, and `image`."""

    def page(row: "Row") -> None:
        import io

        from PIL import Image

        from frontend.components import row_view

        encoded = io.BytesIO()
        Image.new("RGB", (2, 2)).save(encoded, "PNG")
        row_view.asked(row, picture=lambda sha256: encoded.getvalue())

    app = AppTest.from_function(page, kwargs={"row": row}).run()
    assert not app.exception
    shown = [element for element in app.main if element.type in ("text", "image")]
    return [element.value if element.type == "text" else element.type for element in shown]


def test_pictures_of_earlier_messages_come_before_the_question() -> None:
    row = row_of(
        ("user", [LOOK, {"type": "text", "text": "This?"}]),
        ("assistant", "A cat."),
        ("user", [{"type": "text", "text": "And"}, LOOK, {"type": "text", "text": "beside it?"}]),
        images=["a", "b"],
    )
    assert drawn(row) == ["image", "And", "image", "beside it?"]


def test_a_question_of_words_alone_is_shown_as_it_is() -> None:
    assert drawn(row_of(("system", "Be brief."), ("user", "Why *so*?"), images=[])) == ["Why *so*?"]


def test_a_card_is_headed_by_the_words_of_its_question() -> None:
    looking = [LOOK, {"type": "text", "text": "What colour?"}]
    assert asked_rows.first_line(row_of(("user", looking), images=["a"])) == "What colour?"
    assert asked_rows.first_line(row_of(("user", [LOOK]), images=["a"])) == "[image]"


def test_a_row_is_asked_with_its_picture() -> None:
    row = row_of(("user", [{"type": "text", "text": "What?"}, LOOK]), images=["ab"])
    asked = questions.of_row(row, picture={"ab": b"\xff\xd8\xffjpeg"}.__getitem__)
    [message] = asked.messages
    assert message["content"][0] == {"type": "text", "text": "What?"}
    assert message["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
