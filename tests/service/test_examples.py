"""The scripts of `examples/api`, as a reader would run them, against a server and a worker."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.conftest import Api, answered, running_worker

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "api"


@pytest.fixture(scope="module")
def train_worker(services: object, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with running_worker("train", log=tmp_path_factory.mktemp("train-worker") / "log"):
        yield


@pytest.mark.parametrize("script", ["openai_client.py", "curl.sh", "cli.sh"])
@pytest.mark.usefixtures("train_worker")
def test_a_script_takes_a_file_to_an_adapter(api: Api, script: str, tmp_path: Path) -> None:
    if script == "curl.sh" and shutil.which("curl") is None:
        pytest.skip("needs curl in the PATH")
    commands = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"RLSD_API_URL": api.url, "RLSD_API_KEY": api.key, "PATH": commands}
    start = [sys.executable] if script.endswith(".py") else []
    adapter = tmp_path / "adapter.zip"
    ran = subprocess.run(
        [*start, str(EXAMPLES / script), str(adapter)], env=environment, capture_output=True, text=True, timeout=240
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    job = answered(api.http.get("/v1/fine_tuning/jobs"))["data"][0]
    assert (job["status"], job["x_progress"]["step"]) == ("succeeded", 2)
    assert job["id"] in ran.stdout
    assert "adapter_config.json" in "".join(zipfile.ZipFile(adapter).namelist())
