"""The compose file matches the code: commands exist, variables are settings, services have health checks."""

import re
import tomllib
from pathlib import Path

import typer
import yaml
from typer.testing import CliRunner

from backend.cli.main import app
from backend.settings import Settings
from frontend.session import identity

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
OURS = {name: service for name, service in COMPOSE["services"].items() if service.get("image") == "rlsd-workbench"}


def test_every_process_of_the_application_has_a_service() -> None:
    assert set(OURS) == {"migrate", "api", "worker-train", "worker-check", "worker-sample", "worker-chat", "ui"}


def test_every_command_exists_and_has_the_options_used() -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for service in OURS.values():
        name, *options = service["command"]
        known = {flag for parameter in commands[name].params for flag in parameter.opts}
        assert {option for option in options if option.startswith("--")} <= known
        assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0


def test_every_variable_is_a_setting() -> None:
    known = {field.alias for field in Settings.model_fields.values()}
    assert {variable for service in OURS.values() for variable in service["environment"]} <= known


def test_whatever_needs_models_has_their_volume_where_the_image_looks_for_them() -> None:
    image = (ROOT / "Dockerfile").read_text()
    assert "HF_HOME=/models/hub RLSD_MODELS_FOLDER=/models/listed" in image
    assert "install --directory --owner rlsd /models" in image
    needed = {"api", "worker-train", "worker-check", "worker-sample", "worker-chat"}
    assert {name for name, service in OURS.items() if "models:/models" in service.get("volumes", ())} == needed


def test_the_sign_in_settings_reach_the_api_and_the_ui() -> None:
    assert set(identity.NEEDED) <= set(OURS["ui"]["environment"])
    assert {"RLSD_OIDC_ISSUER", "RLSD_OIDC_AUDIENCE"} <= set(OURS["api"]["environment"])
    assert "RLSD_OIDC_CLIENT_SECRET" not in OURS["api"]["environment"]
    assert extras_of_the_image() == {"oidc"}


def test_the_ui_gets_no_settings_of_api_and_workers() -> None:
    assert OURS["ui"]["env_file"] == []
    assert set(OURS["ui"]["environment"]) == {"RLSD_API_URL", "RLSD_PUBLIC_API_URL", *identity.NEEDED}
    assert all(service["env_file"] for name, service in OURS.items() if name != "ui")


def test_the_extras_of_the_image_and_of_the_documents_exist() -> None:
    known = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"])
    named = extras_of_the_image()
    for page in (ROOT / "docs").glob("*.md"):
        named |= set(re.findall(r"pip install '\.\[(\w+)\]'", page.read_text()))
    assert named <= known


def extras_of_the_image() -> set[str]:
    return set(re.findall(r"--editable '\.\[(\w+)\]'", (ROOT / "Dockerfile").read_text()))


def test_services_that_others_wait_for_have_healthchecks_and_data_lives_in_volumes() -> None:
    waited_for = {
        name
        for service in COMPOSE["services"].values()
        for name, condition in service.get("depends_on", {}).items()
        if condition["condition"] == "service_healthy"
    }
    assert waited_for == {"postgres", "valkey", "api"}
    assert all("healthcheck" in COMPOSE["services"][name] for name in waited_for)
    assert {"postgres", "valkey"} <= set(COMPOSE["volumes"])


def test_what_the_image_copies_exists() -> None:
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY "):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists()
