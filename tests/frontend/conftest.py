"""What pages and the client are given: the real API, and files."""

import base64
import io
import json
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from PIL import Image
from streamlit import config
from streamlit.components.v2 import manifest_scanner

from frontend.api import Client, new_connections


@pytest.fixture(autouse=True)
def own_main_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """`AppTest` leaves its page behind as `__main__`, which every later child of `multiprocessing` would run."""
    monkeypatch.setitem(sys.modules, "__main__", sys.modules["__main__"])


@pytest.fixture(autouse=True, scope="session")
def components_found_once() -> Iterator[None]:
    """Look for components of Streamlit in the installed packages once: each `AppTest` does, for 0.5 s of CPU."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", cache(manifest_scanner.scan_component_manifests))
        yield


@pytest.fixture(autouse=True, scope="session")
def configured_like_the_ui() -> None:
    """Compile pages as the UI does: `AppTest` does not read its `config.toml`."""
    config.set_option("runner.magicEnabled", False)


@pytest.fixture
def client(api_url: str, key: str) -> Iterator[Client]:
    with new_connections(api_url) as connections:
        yield Client(connections, key=key)


@pytest.fixture
def rows_file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [
        {"question": f"Who approves a {item}?", "answer": who, "solution": f"{item}, {who}"}
        for item, who in [("gasket", "clerk"), ("anvil", "warden"), *((f"valve{n}", "planner") for n in range(8))]
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


@pytest.fixture
def image_rows(tmp_path: Path) -> Path:
    """Ten rows, each with a question about its own image."""
    path = tmp_path / "images.jsonl"
    with path.open("w") as lines:
        for number in range(10):
            image = io.BytesIO()
            Image.new("RGB", (4, 4), (20 * number, 0, 0)).save(image, "PNG")
            url = f"data:image/png;base64,{base64.b64encode(image.getvalue()).decode()}"
            content = [
                {"type": "image_url", "image_url": {"url": url}},
                {"type": "text", "text": f"What colour is number {number}?"},
            ]
            lines.write(json.dumps({"messages": [{"role": "user", "content": content}], "answer": "red"}) + "\n")
    return path
