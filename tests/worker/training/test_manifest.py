"""How a manifest identifies the models used: enough to find them again."""

from pathlib import Path

from tests.worker.engine.tiny import save_tiny_model, tiny_policy
from worker.training.manifest import model_identity


def test_a_model_of_the_hub_is_known_by_its_commit() -> None:
    policy = tiny_policy()
    policy.model.config._commit_hash = "c0ffee"
    assert model_identity("mine", source="org/model", policy=policy) == {
        "name": "mine",
        "hub_id": "org/model",
        "commit": "c0ffee",
        "remote_code_allowed": False,
    }


def test_a_model_in_a_folder_is_known_by_the_hash_of_its_files(tmp_path: Path) -> None:
    source = save_tiny_model(tmp_path)
    before = model_identity("mine", source=source, policy=tiny_policy())
    assert before == model_identity("mine", source=source, policy=tiny_policy())
    assert before.keys() == {"name", "sha256", "remote_code_allowed"}
    (tmp_path / "chat_template.jinja").write_text("another")
    assert model_identity("mine", source=source, policy=tiny_policy())["sha256"] != before["sha256"]
