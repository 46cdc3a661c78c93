"""The scripts of `examples/api` and of `docs/api.md`, run against a real server and workers."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.machine import MISSING
from tests.service.conftest import Api, answered

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples" / "api"
COMMANDS = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


@pytest.mark.parametrize("script", ["openai_client.py", "curl.sh", "cli.sh"])
@pytest.mark.usefixtures("train_worker")
def test_a_script_takes_a_file_to_an_adapter(api: Api, script: str, tmp_path: Path) -> None:
    if script == "curl.sh" and shutil.which("curl") is None:
        pytest.skip(MISSING["curl"])
    environment = os.environ | {"RLSD_API_URL": api.url, "RLSD_API_KEY": api.key, "PATH": COMMANDS}
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


@pytest.mark.skipif(shutil.which("curl") is None, reason=MISSING["curl"])
@pytest.mark.usefixtures("train_worker", "check_worker", "sample_worker")
def test_the_page_on_the_api_can_be_followed_from_its_first_block_to_its_last(api: Api, tmp_path: Path) -> None:
    blocks = re.findall(r"^```sh\n(.*?)^```$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) >= 9
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    environment = os.environ | {"RLSD_API_URL": api.url, "RLSD_API_KEY": api.key, "PATH": COMMANDS}
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    [job] = answered(api.http.get("/v1/fine_tuning/jobs"))["data"]
    assert job["status"] == "succeeded"
    files = {file["filename"]: file["rows"] for file in answered(api.http.get("/v1/files"))["data"]}
    assert files == {"train.jsonl": 400, "held_out.jsonl": 200}
    assert len(answered(api.http.get("/v1/verifiers"))["data"]) == 1
    assert zipfile.is_zipfile(tmp_path / "merged.zip")
