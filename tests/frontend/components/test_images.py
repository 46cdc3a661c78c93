"""Images are shown wherever a question with an image is shown."""

from pathlib import Path
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from frontend.api import Client
from frontend.api.types import FileRow
from frontend.components import asked_rows, questions
from tests.frontend.api.test_api import new_job
from tests.frontend.app_pages.job.test_tabs import part, take_steps
from tests.frontend.test_pages import opened

LOOK = {"type": "image"}


@pytest.fixture
def address_of_api(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The SHA-256 of each image that a page has requested."""
    found: list[str] = []
    file_image = Client.file_image

    def counted(self: Client, file_id: str, sha256: str) -> bytes:
        found.append(sha256)
        return file_image(self, file_id, sha256)

    monkeypatch.setattr(Client, "file_image", counted)
    return found


def row_of(*messages: tuple[str, Any], images: list[str]) -> FileRow:
    parts = [{"role": role, "content": content} for role, content in messages]
    reference = {"answer": "red", "solution": None}
    return {"messages": parts, "tools": [], "images": images, "item": {}, "reference": reference}


@pytest.mark.usefixtures("address_of_api")
def test_the_question_of_a_completion_is_shown_with_its_image_which_is_read_once(
    client: Client, key: str, image_rows: Path, read: list[str]
) -> None:
    job_id = new_job(client, image_rows)
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
def test_the_playground_shows_an_image_in_its_place_in_the_question(client: Client, key: str, image_rows: Path) -> None:
    new_job(client, image_rows)
    app = opened("playground", key=key)
    app.segmented_control(key="ask_from").set_value("Dataset row").run()
    assert not app.exception
    assert len(app.get("image")) == 1
    assert "[image]" not in "".join(text.value for text in app.text)


def rendered(row: FileRow) -> list[str]:
    """Return what the page shows for this row: its texts, and `image`."""

    def page(row: "FileRow") -> None:
        import io

        from PIL import Image

        from frontend.components import row_view

        encoded = io.BytesIO()
        Image.new("RGB", (2, 2)).save(encoded, "PNG")
        row_view.show_question(row, image=lambda sha256: encoded.getvalue())

    app = AppTest.from_function(page, kwargs={"row": row}).run()
    assert not app.exception
    shown = [element for element in app.main if element.type in ("text", "image")]
    return [element.value if element.type == "text" else element.type for element in shown]


def test_images_of_earlier_messages_come_before_the_question() -> None:
    row = row_of(
        ("user", [LOOK, {"type": "text", "text": "This?"}]),
        ("assistant", "A cat."),
        ("user", [{"type": "text", "text": "And"}, LOOK, {"type": "text", "text": "beside it?"}]),
        images=["a", "b"],
    )
    assert rendered(row) == ["image", "And", "image", "beside it?"]


def test_a_question_without_images_is_shown_literally() -> None:
    assert rendered(row_of(("system", "Be brief."), ("user", "Why *so*?"), images=[])) == ["Why *so*?"]


def test_the_title_of_a_card_is_the_text_of_its_question() -> None:
    looking = [LOOK, {"type": "text", "text": "What colour?"}]
    assert asked_rows.first_line(row_of(("user", looking), images=["a"])) == "What colour?"
    assert asked_rows.first_line(row_of(("user", [LOOK]), images=["a"])) == "[image]"


def test_a_question_from_a_row_contains_its_image() -> None:
    row = row_of(("user", [{"type": "text", "text": "What?"}, LOOK]), images=["ab"])
    question = questions.of_row(row, image={"ab": b"\xff\xd8\xffjpeg"}.__getitem__)
    [message] = question.messages
    assert message["content"][0] == {"type": "text", "text": "What?"}
    assert message["content"][1]["image_url"]["url"].startswith("data:image/jpeg;base64,")
