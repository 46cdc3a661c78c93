"""The Settings page, section by section, for admins and for others."""

from datetime import date
from zoneinfo import ZoneInfo

import pytest
from streamlit.testing.v1 import AppTest

from backend.app import app as api_app
from backend.db.engine import transaction
from backend.db.keys import Role, create_key
from backend.workers import facts, report
from frontend.api import ApiError, Client, new_connections
from frontend.api.types import Device, WorkerObject
from frontend.app_pages.settings.audit import start_of
from frontend.session import identity
from frontend.words.settings import ACTIONS, ROLES, gpus, quota_uses, sandbox, unserved_queues
from tests.frontend.test_pages import api_address, opened, words

__all__ = ["api_address"]
SECTIONS = ("You", "Keys", "People", "Projects and quotas", "Audit", "Webhooks", "Workers")


def section(name: str, *, key: str) -> AppTest:
    return opened("settings", key=key, section=name)


def click(app: AppTest, label: str) -> AppTest:
    next(button for button in app.button if button.label == label).click()
    return app.run()


def field(app: AppTest, label: str) -> object:
    everything = [*app.text_input, *app.selectbox, *app.number_input, *app.multiselect]
    return next(widget for widget in everything if widget.label == label)


@pytest.mark.parametrize("name", SECTIONS)
def test_every_section_opens_from_its_address_for_an_admin(name: str, key: str) -> None:
    app = section(name, key=key)
    assert not app.exception
    assert not app.error
    assert app.title[0].value == "Settings"
    assert app.session_state["section"] == name


@pytest.mark.parametrize("role", [Role.VIEWER, Role.EDITOR])
def test_other_roles_see_their_sections_and_a_sentence_about_the_rest(role: Role, key: str) -> None:
    with transaction() as session:
        theirs = create_key(session, name="Ada", role=role)[1]
    for name in SECTIONS:
        app = section(name, key=theirs)
        assert not app.exception
        assert not app.error
        refused = "Ask an admin" in words(app)
        assert refused == (name not in ("You", "Workers"))
        assert not refused or f"is {role}." in words(app)
    assert ROLES[role.value] in words(section("You", key=theirs))


def test_a_key_is_created_shown_once_and_revoked(api_url: str, key: str) -> None:
    app = section("Keys", key=key)
    click(app, "Create key")
    assert "Enter a name" in app.error[0].value
    field(app, "Name").input("nightly")  # type: ignore[attr-defined]
    click(app, "Create key")
    [secret] = [code.value for code in app.code]
    assert name_of(secret, api_url=api_url) == "nightly"
    assert field(app, "Name").value == ""  # type: ignore[attr-defined]

    click(app, "I have copied it")
    assert not app.code
    click(app, "Revoke now")
    with pytest.raises(ApiError, match="revoked"):
        name_of(secret, api_url=api_url)
    assert not [button for button in app.button if button.label == "Revoke now"]


def name_of(secret: str, *, api_url: str) -> str:
    with new_connections(api_url) as connections:
        return Client(connections, key=secret).whoami()["name"]


def test_a_secret_is_not_shown_in_another_section(key: str) -> None:
    app = section("Keys", key=key)
    field(app, "Name").input("nightly")  # type: ignore[attr-defined]
    click(app, "Create key")
    assert app.code
    for name in ("You", "Keys", "Webhooks", "Keys"):
        app.session_state["section"] = name
        app.run()
    assert not app.exception
    assert not app.code


def test_a_member_is_added_changed_and_removed(client: Client, key: str) -> None:
    app = section("People", key=key)
    assert app.info[0].proto.title == "Sign-in by e-mail is not set up"
    field(app, "E-mail address").input("ada")  # type: ignore[attr-defined]
    click(app, "Add")
    assert "has no @" in app.error[0].value
    field(app, "E-mail address").input("Ada+x@example.org")  # type: ignore[attr-defined]
    click(app, "Add")
    assert client.members(after=None, limit=5)["data"][0]["id"] == "ada+x@example.org"
    menu = next(box for box in app.selectbox if box.key and box.key.startswith("role_ada+x@"))
    menu.select("editor")
    click(app, "Save role")
    assert client.members(after=None, limit=5)["data"][0]["role"] == "editor"
    click(app, "Remove now")
    assert client.members(after=None, limit=5)["data"] == []


def test_a_project_gets_limits_and_shows_what_it_uses(client: Client, key: str) -> None:
    app = section("Projects and quotas", key=key)
    field(app, "Project name").input("claims")  # type: ignore[attr-defined]
    next(widget for widget in app.number_input if widget.label == "Storage, GB").set_value(2.5)
    click(app, "Create project")
    made = client.projects(after=None, limit=20)["data"][-1]
    assert made["name"] == "claims"
    assert made["quotas"] == {"storage_bytes": 2_500_000_000, "jobs_at_once": None, "gpu_hours": None}
    assert "0 B of 2.5 GB" in words(app)
    jobs = next(widget for widget in app.number_input if widget.label == "Concurrent jobs" and made["id"] in widget.key)
    jobs.set_value(0)
    [save] = [button for button in app.button if button.key and made["id"] in button.key and button.label == "Save"]
    save.click()
    app.run()
    assert client.projects(after=None, limit=20)["data"][-1]["quotas"]["jobs_at_once"] == 0
    assert client.projects(after=None, limit=20)["data"][-1]["quotas"]["storage_bytes"] == 2_500_000_000


def test_the_audit_log_is_filtered(client: Client, key: str) -> None:
    client.create_project(name="claims", quotas={"storage_bytes": None, "jobs_at_once": None, "gpu_hours": None})
    client.set_member("ada@example.org", role="viewer")
    app = section("Audit", key=key)
    assert list(app.dataframe[0].value["what"]) == ["added a member or changed a role", "created a project"]
    assert set(app.dataframe[0].value["from"]) == {"127.0.0.1"}
    field(app, "What").select("Projects")  # type: ignore[attr-defined]
    app.run()
    assert list(app.dataframe[0].value["what"]) == ["created a project"]
    field(app, "Who").input("nobody of this name")  # type: ignore[attr-defined]
    app.run()
    assert "No entry matches" in app.info[0].value


def test_a_long_audit_log_is_paged(client: Client, key: str) -> None:
    for _ in range(52):
        client.set_member("ada@example.org", role="viewer")
    app = section("Audit", key=key)
    assert len(app.dataframe[0].value) == 50
    click(app, "Older")
    assert len(app.dataframe[0].value) == 2
    click(app, "Newest")
    assert len(app.dataframe[0].value) == 50


def test_a_webhook_is_created_with_its_secret_tested_and_deleted(client: Client, key: str) -> None:
    app = section("Webhooks", key=key)
    field(app, "Address").input("example.org")  # type: ignore[attr-defined]
    click(app, "Create webhook")
    assert "https://" in app.error[0].value
    field(app, "Address").input("https://example.org/hook")  # type: ignore[attr-defined]
    field(app, "Notify when").unselect("fine_tuning.job.cancelled")  # type: ignore[attr-defined]
    click(app, "Create webhook")
    assert app.code[0].value.startswith("whsec_")
    [hook] = client.webhooks(after=None, limit=5)["data"]
    assert "fine_tuning.job.cancelled" not in hook["events"]
    click(app, "Send a test")
    assert list(app.dataframe[0].value["result"]) == ["pending"]
    assert any("· last delivery pending" in caption.value for caption in app.caption)
    click(app, "Hide deliveries")
    assert not app.dataframe
    click(app, "Delete now")
    assert client.webhooks(after=None, limit=5)["data"] == []


def test_workers_are_listed_and_queues_without_one_are_reported(key: str) -> None:
    app = section("Workers", key=key)
    assert len(app.warning) == 4
    with transaction() as session:
        report(session, facts(["train"], sandbox_level=2))
    app = section("Workers", key=key)
    assert [warning.proto.title for warning in app.warning] == [
        "Files and checks: no worker is running",
        "Sampling: no worker is running",
        "Playground and chat: no worker is running",
    ]
    assert list(app.dataframe[0].value["work"]) == ["Training"]


def worker(*queues: str, level: int = 2) -> WorkerObject:
    return {
        "id": "host:1",
        "host": "host",
        "queues": list(queues),
        "devices": [],
        "sandbox_level": level,
        "version": "1",
        "started_at": 0,
        "seen_at": 0,
    }


def test_a_chat_only_worker_does_not_show_a_sandbox_level() -> None:
    assert sandbox([worker("chat", level=0)]) is None
    assert "level 2" in str(sandbox([worker("chat", level=0), worker("check")]))
    assert "refused" in str(sandbox([worker("train", level=0), worker("check")]))
    assert [queue.name for queue in unserved_queues([worker("chat"), worker("train", "check")])] == ["sample"]


def test_gpus_are_counted_by_kind() -> None:
    h200: Device = {"name": "NVIDIA H200", "memory_bytes": 143771 * 2**20}
    assert gpus([h200]) == "NVIDIA H200 (140 GiB)"
    assert gpus([h200, h200]) == "2 × NVIDIA H200 (140 GiB each)"
    assert "CPU" in gpus([])


def test_usage_is_a_share_of_its_limit_if_there_is_one() -> None:
    figures = quota_uses(
        {"storage_bytes": 500, "jobs_at_once": 1, "gpu_hours": 1.25},
        {"storage_bytes": 1000, "jobs_at_once": 0, "gpu_hours": None},
    )
    assert [(figure.share, figure.full) for figure in figures] == [(0.5, False), (1.0, True), (None, False)]
    assert figures[2].text == "1.2 h, no limit"


def test_a_day_begins_where_the_viewer_is() -> None:
    assert start_of(date(2026, 11, 23), ZoneInfo("Europe/Berlin")) == 1795388400
    assert start_of(None, ZoneInfo("UTC")) is None


def test_every_audited_action_has_a_description() -> None:
    offered = {
        f"{method} {operation.path}"
        for operation in api_app.state.operations
        for method in operation.methods
        if operation.is_audited
    }
    assert offered ^ set(ACTIONS) == set()


def test_an_address_with_odd_characters_reaches_the_api_whole(client: Client) -> None:
    with pytest.raises(ApiError, match=r"a#b\?c@example"):
        client.remove_member("a#b?c@example.org")


def test_an_incomplete_provider_configuration_is_refused_at_startup(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in identity.NEEDED:
        monkeypatch.delenv(name, raising=False)
    assert identity.streamlit_secrets() == {}
    monkeypatch.setenv("RLSD_OIDC_CLIENT_SECRET", "secret")
    monkeypatch.setenv("RLSD_OIDC_ISSUER", "https://id.example.org/")
    with pytest.raises(ValueError, match="RLSD_OIDC_AUDIENCE, RLSD_UI_URL"):
        identity.streamlit_secrets()
    monkeypatch.setenv("RLSD_OIDC_AUDIENCE", "rlsd")
    monkeypatch.setenv("RLSD_UI_URL", "https://rlsd.example.org/")
    made = identity.streamlit_secrets()["auth"]
    assert made["redirect_uri"] == "https://rlsd.example.org/oauth2callback"
    assert made["server_metadata_url"] == "https://id.example.org/.well-known/openid-configuration"
