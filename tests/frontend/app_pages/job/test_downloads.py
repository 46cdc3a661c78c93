"""The Downloads tab of the job page: the list, exports, and their comparison."""

from pathlib import Path

import pytest
from sqlalchemy import update
from streamlit.testing.v1 import AppTest

from backend import checks
from backend.db.checks import Check
from backend.db.engine import transaction
from frontend.api import Client
from frontend.components import downloads
from tests.frontend.api.test_api import new_job
from tests.frontend.test_pages import opened, words
from tests.service.test_exports import BROKEN, converter, finish_job
from worker.checks.registry import HANDLERS


@pytest.fixture(autouse=True)
def api_address(monkeypatch: pytest.MonkeyPatch, api_url: str) -> None:
    monkeypatch.setenv("RLSD_API_URL", api_url)


def at_downloads(job_id: str, *, key: str) -> AppTest:
    app = opened("job", key=key, job=job_id)
    app.segmented_control(key="view").set_value("Downloads").run()
    assert not app.exception
    return app


def carry_out(client: Client, job_id: str) -> None:
    for check in client.checks(kind="export", job=job_id, limit=10):
        checks.carry_out(check["id"], handlers=HANDLERS)


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.get("download_button")]


def test_a_model_is_exported_compared_and_offered(client: Client, key: str, rows_file: Path) -> None:
    job_id = finish_job(new_job(client, rows_file))
    app = at_downloads(job_id, key=key)
    assert labels(app) == ["Download the adapter", "Download"]
    app.button(key="make_gguf").click().run()
    assert not app.exception
    assert "Waiting for a worker" in words(app)
    carry_out(client, job_id)

    app = at_downloads(job_id, key=key)
    [export] = client.exports(job_id)
    assert "The exported model agrees with the adapter" in app.success[0].value
    assert len(labels(app)) == 3
    assert f"SHA-256 `{export['sha256']}`" in words(app)
    assert list(app.dataframe[0].value["allowed"])[:2] == ["at most 0.03", "at most 0.5"]
    assert len(client.export_content(export)) == export["size_bytes"]
    assert app.button(key="make_merged").label == "Export"


def test_an_export_is_requested_in_a_chosen_dtype_and_drawn_before_its_total_is_known(
    client: Client, key: str, rows_file: Path
) -> None:
    job_id = finish_job(new_job(client, rows_file))
    app = at_downloads(job_id, key=key)
    assert len(app.selectbox(key="dtype_merged").options) == len(app.selectbox(key="dtype_gguf").options) - 1
    app.selectbox(key="dtype_merged").select_index(2).run()
    app.button(key="make_merged").click().run()
    [export] = client.exports(job_id)
    assert export["dtype"] == "float16"
    with transaction() as session:
        session.execute(update(Check).values(progress={"done": 0, "total": 0, "unit": ""}))
    app = at_downloads(job_id, key=key)
    assert not app.exception
    assert "Requested as float16" in words(app)
    assert [bar.proto.text for bar in app.get("progress")] == ["Started…"]
    assert "float16 (2 bytes)" not in app.selectbox(key="dtype_merged").options


def test_a_running_export_is_drawn_from_the_last_read_and_offered_at_its_end(
    client: Client, key: str, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redundant redraws or polls would request the exports more often."""
    job_id = finish_job(new_job(client, rows_file))
    client.create_export(job_id, format="gguf", dtype=None, checkpoint=None)
    app, requested, exports = at_downloads(job_id, key=key), [], Client.exports
    monkeypatch.setattr(Client, "exports", lambda self, job: requested.append(job) or exports(self, job))
    app.run()
    assert requested == [job_id]
    assert "Waiting for a worker" in words(app)
    monkeypatch.setattr(Client, "exports", exports)
    carry_out(client, job_id)
    app.run()
    assert not app.exception
    assert app.success[0].value.startswith("The exported model agrees")


def test_a_failed_export_is_shown_with_figures_and_can_be_repeated(client: Client, key: str, rows_file: Path) -> None:
    job_id = finish_job(new_job(client, rows_file))
    client.create_export(job_id, format="gguf", dtype=None, checkpoint=None)
    with converter(BROKEN):
        carry_out(client, job_id)
    app = at_downloads(job_id, key=key)
    assert "differs from the adapter" in app.error[0].value
    assert len(app.dataframe) == 1
    assert len(labels(app)) == 2
    app.button(key="again_gguf").click().run()
    assert not app.exception
    assert [export["status"] for export in client.exports(job_id)] == ["queued"]


def test_checkpoints_are_chosen_by_their_step(client: Client, key: str, rows_file: Path) -> None:
    job_id = finish_job(new_job(client, rows_file))
    app = at_downloads(job_id, key=key)
    assert app.selectbox(key="export_of").options == ["Final adapter", "Checkpoint of step 2"]
    app.selectbox(key="export_of").select_index(1).run()
    assert labels(app) == ["Download the adapter"]
    app.button(key="make_merged").click().run()
    assert [export["checkpoint"] for export in client.exports(job_id)] == [f"ftckpt-{job_id}"]


def test_a_large_export_is_downloaded_with_the_command_line(
    client: Client, key: str, rows_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = finish_job(new_job(client, rows_file))
    client.create_export(job_id, format="merged", dtype=None, checkpoint=None)
    carry_out(client, job_id)
    monkeypatch.setattr(downloads, "LARGEST", 1000)
    app = at_downloads(job_id, key=key)
    assert [code.value for code in app.code] == [f"rlsd export {job_id} --format merged"]
    assert len(labels(app)) == 2
