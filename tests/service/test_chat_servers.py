"""Lifecycle of chat servers: unloading and switching models, a shared queue, graceful shutdown, crashes."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest

from backend.settings import STARTER_MODEL, settings
from backend.stack.embedded import Services
from tests.processes import wait_for
from tests.service.chatting import QUESTION, chat_server, greedy, servers
from tests.service.conftest import Api
from tests.service.training import tiny_model

pytestmark = pytest.mark.slow

LONG: Any = {"model": "starter", "messages": QUESTION, "temperature": 1.9, "max_tokens": 900, "n": 32}


@pytest.fixture
def two_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, services: Services) -> Iterator[None]:
    models = {"starter": str(STARTER_MODEL), "tiny": tiny_model(tmp_path / "tiny")}
    monkeypatch.setenv("RLSD_MODELS", json.dumps(models))
    settings.cache_clear()
    yield
    monkeypatch.undo()
    settings.cache_clear()


def has_torch(process: psutil.Process) -> bool:
    return any("libtorch" in mapped.path for mapped in process.memory_maps())


def test_torch_comes_with_the_first_request_and_goes_with_the_last_model(api: Api, tmp_path: Path) -> None:
    with chat_server(tmp_path / "log", RLSD_SERVE_IDLE_S="1.5") as server:
        process = psutil.Process(server.pid)
        assert not has_torch(process)
        before = greedy(api)
        assert has_torch(process)
        wait_for(lambda: not has_torch(process), timeout_s=30, what="the model to be let go")
        assert greedy(api) == before


@pytest.mark.usefixtures("two_models", "open_hub")
def test_one_model_makes_room_for_another_and_all_are_answered(api: Api, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with chat_server(log), ThreadPoolExecutor(6) as threads:
        alone = {name: greedy(api, name) for name in ("starter", "tiny")}
        names = ["starter", "tiny"] * 3
        assert list(threads.map(lambda name: greedy(api, name), names)) == [alone[name] for name in names]
        let_go = log.read_text().count("model unloaded")
        assert let_go >= 1
        with pytest.raises(openai.APIStatusError) as absent:
            greedy(api, "nobody/nothing-here")
        assert absent.value.param == "model"
        assert log.read_text().count("model unloaded") == let_go


@pytest.mark.usefixtures("two_models")
def test_two_servers_share_one_line(api: Api, tmp_path: Path) -> None:
    with (
        chat_server(tmp_path / "one"),
        chat_server(tmp_path / "two"),
        ThreadPoolExecutor(6) as threads,
    ):
        wait_for(lambda: len(servers()) == 2, timeout_s=30, what="both servers")
        names = ["starter", "tiny"] * 6
        answers = list(threads.map(lambda name: greedy(api, name), names))
        for name in set(names):
            assert len({answer for answer, model in zip(answers, names, strict=True) if model == name}) == 1


def test_a_server_that_is_stopped_finishes_what_it_has_begun(api: Api, tmp_path: Path) -> None:
    with chat_server(tmp_path / "log") as server:
        greedy(api)
        with api.openai.chat.completions.create(
            model="starter", messages=QUESTION, temperature=1.9, max_tokens=200, n=8, stream=True
        ) as stream:
            next(iter(stream))
            server.terminate()
            reasons = [choice.finish_reason for chunk in stream for choice in chunk.choices if choice.finish_reason]
        assert len(reasons) == 8
        assert server.wait(20) == 0
        assert servers() == []


def test_a_server_that_shuts_down_reports_it(api: Api, tmp_path: Path) -> None:
    with chat_server(tmp_path / "log", RLSD_STOP_GRACE_S="0.2") as server:
        greedy(api)
        with api.openai.chat.completions.create(**LONG, stream=True) as stream:
            next(iter(stream))
            server.terminate()
            with pytest.raises(openai.APIError, match="is shutting down"):
                list(stream)
        assert server.wait(20) == 0


def test_the_death_of_a_server_is_noticed_and_another_goes_on(api: Api, tmp_path: Path) -> None:
    with chat_server(tmp_path / "mortal", may_exit=True) as mortal:
        greedy(api)
        stream = api.openai.chat.completions.create(**LONG, stream=True)
        next(iter(stream))
        mortal.kill()
        with pytest.raises(openai.APIError, match="stopped while working"):
            list(stream)
    with chat_server(tmp_path / "other"):
        assert greedy(api)
