"""Parts of a file's report computed on request: tokens of a model, images."""

import base64
import hashlib
import io
import time
from typing import Any

import pytest
from PIL import Image
from transformers import PreTrainedTokenizerFast

from backend.settings import STARTER_MODEL
from tests.service.conftest import Api, answered, refused


def image(kind: str, color: tuple[int, int, int] = (9, 99, 200)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (6, 6), color).save(file, kind)
    return file.getvalue()


def image_row(encoded: bytes) -> dict[str, Any]:
    url = f"data:image/x;base64,{base64.b64encode(encoded).decode()}"
    return {
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}],
        "answer": "a",
    }


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP"])
def test_an_image_of_a_row_is_sent_as_what_it_is_and_as_nothing_else(api: Api, kind: str) -> None:
    encoded = image(kind)
    file_id = answered(api.upload(image_row(encoded)))["id"]
    (row,) = answered(api.http.get(f"/v1/files/{file_id}/rows"))["data"]
    assert row["images"] == [hashlib.sha256(encoded).hexdigest()]
    response = api.http.get(f"/v1/files/{file_id}/images/{row['images'][0]}")
    assert response.content == encoded
    assert response.headers["content-type"] == f"image/{kind.lower()}"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"].startswith("private")
    again = {"if-none-match": response.headers["etag"]}
    assert api.http.get(f"/v1/files/{file_id}/images/{row['images'][0]}", headers=again).status_code == 304


def test_an_image_is_found_through_its_own_file_only(api: Api) -> None:
    mine, other = image("PNG"), image("PNG", (1, 2, 3))
    name = hashlib.sha256(mine).hexdigest()
    file_id, other_id = (answered(api.upload(image_row(each)))["id"] for each in (mine, other))
    assert api.http.get(f"/v1/files/{file_id}/images/{name}").content == mine
    refused(api.http.get(f"/v1/files/{other_id}/images/{name}"), status=404)
    refused(api.http.get(f"/v1/files/file-none/images/{name}"), status=404)
    refused(api.http.get(f"/v1/files/{file_id}/images/passwd"), status=400)
    whole = hashlib.sha256(api.http.get(f"/v1/files/{file_id}/content").content).hexdigest()
    refused(api.http.get(f"/v1/files/{file_id}/images/{whole}"), status=404)
    refused(api.bare.get(f"/v1/files/{file_id}/images/{name}"), status=401)


def token_counts(api: Api, file_id: str, **options: Any) -> dict[str, Any]:
    check = answered(api.http.post(f"/v1/files/{file_id}/tokens", json={"model": "starter", **options}))
    assert (check["kind"], check["file_id"]) == ("token_lengths", file_id)
    deadline = time.monotonic() + 60
    while check["status"] in ("queued", "running"):
        assert time.monotonic() < deadline
        time.sleep(0.1)
        check = answered(api.http.get(f"/v1/checks/{check['id']}"))
    assert check["status"] == "done", check
    return dict(check["result"])


def test_the_tokens_of_a_model_are_counted_in_its_template_and_stay_in_the_report(api: Api, check_worker: int) -> None:
    question, long = "Which approval does a laser need?", "What now? " * 30
    file_id = answered(
        api.upload({"question": question, "answer": "3 4\n#### director"}, {"question": long, "answer": "no one"})
    )["id"]
    assert answered(api.http.get(f"/v1/files/{file_id}/report"))["tokens"] == []
    tokenizer = PreTrainedTokenizerFast.from_pretrained(STARTER_MODEL)

    def tokens(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False))

    prompts = [
        tokens(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": each}], add_generation_prompt=True, tokenize=False
            )
        )
        for each in (question, long)
    ]
    token_counts(api, file_id)
    found = token_counts(api, file_id, max_prompt_tokens=max(prompts) - 1, max_completion_tokens=tokens("no one") - 1)
    assert (found["checked"], found["unit"]) == (2, "tokens")
    assert [found["question"]["min"], found["question"]["max"]] == sorted(prompts)
    assert found["answer"]["max"] == max(tokens("director"), tokens("no one"))
    assert found["solution"]["min"] == found["solution"]["max"] == tokens("3 4")
    assert (found["prompts_above"], found["prompt_lines_above"]) == (1, [2])
    assert found["completions_above"] == (tokens("3 4") >= tokens("no one")) + 1
    assert answered(api.http.get(f"/v1/files/{file_id}/report"))["tokens"] == [found]


def test_a_model_that_is_none_has_no_tokens(api: Api) -> None:
    file_id = api.dataset(3)
    path = f"/v1/files/{file_id}/tokens"
    assert refused(api.http.post(path, json={"model": "none"}), status=400)["param"] == "model"
    assert refused(api.http.post(path, json={"model": "starter", "max_prompt_tokens": 0}), status=400)
    refused(api.http.post("/v1/files/file-none/tokens", json={"model": "starter"}), status=404)
