"""`rlsd keys`: manages API keys over the API if an API key is given, else directly in this machine's database.

The direct way creates the first key, and restores access when all keys are lost.
"""

from typing import Annotated

import typer

from backend.cli.remote import ApiKey, ApiUrl, all_items, connected
from backend.errors import AppError

keys_app = typer.Typer(
    no_args_is_help=True,
    help="Manage API keys: over the API if RLSD_API_KEY or --api-key is given, else in this machine's database.",
)


@keys_app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Name of the key, such as its owner's.")],
    role: Annotated[str, typer.Option(help="`viewer`, `editor` or `admin`.")] = "admin",
    project: Annotated[
        str | None,
        typer.Option(help="Id of the project, `proj-…`; by default that of the given API key, else the first project."),
    ] = None,
    days: Annotated[
        int | None, typer.Option(help="Days until it expires; by default it does not expire.", min=1)
    ] = None,
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Create a key and print it. It cannot be shown again."""
    if api_key:
        path = "/v1/keys" if project is None else f"/v1/projects/{project}/keys"
        with connected(api_url, api_key) as client:
            print(client.post(path, {"name": name, "role": role, "expires_in_days": days})["secret"])
        return
    from datetime import timedelta

    from backend.db.audit import server_action
    from backend.db.base import utc_now
    from backend.db.engine import transaction
    from backend.db.keys import Role, create_key
    from backend.db.projects import DEFAULT_PROJECT, find_project

    project = project or DEFAULT_PROJECT
    if role not in list(Role):
        raise AppError(f"There is no role '{role}': use {', '.join(Role)}.")
    with transaction(_database_url()) as session:
        if find_project(session, project) is None:
            raise AppError(f"There is no project '{project}'.")
        expires_at = None if days is None else utc_now() + timedelta(days=days)
        key, secret = create_key(session, name=name, role=Role(role), project=project, expires_at=expires_at)
        server_action("rlsd keys create").record(session, objects=[key.id], project=project)
    print(secret)


@keys_app.command("list")
def list_keys(api_url: ApiUrl = None, api_key: ApiKey = "") -> None:
    """List all keys: id, first characters, name, role, project, state."""
    if api_key:
        with connected(api_url, api_key) as client:
            for each in all_items(client, "/v1/keys"):
                _print(*(each[field] for field in ("id", "prefix", "name", "role", "project_id", "status")))
        return
    from backend.db.engine import transaction
    from backend.db.keys import all_keys

    with transaction(_database_url()) as session:
        for key in session.scalars(all_keys().statement.order_by(*all_keys().keys)):
            _print(key.id, key.prefix, key.name, key.role, key.project_id, key.state)


@keys_app.command("revoke")
def revoke(
    key_id: Annotated[str, typer.Argument(help="`key-…`, see `rlsd keys list`.")],
    api_url: ApiUrl = None,
    api_key: ApiKey = "",
) -> None:
    """Revoke a key at once."""
    if api_key:
        with connected(api_url, api_key) as client:
            client.delete(f"/v1/keys/{key_id}")
        print("Revoked.")
        return
    from backend.db.audit import server_action
    from backend.db.engine import transaction
    from backend.db.keys import find_key
    from backend.db.keys import revoke as revoke_key
    from backend.errors import not_found

    with transaction(_database_url()) as session:
        key = find_key(session, key_id)
        if key is None:
            raise not_found("key", key_id)
        revoke_key(key)
        server_action("rlsd keys revoke").record(session, objects=[key.id], project=key.project_id)
    print("Revoked.")


def _print(key_id: str, prefix: str, name: str, role: str, project: str, state: str) -> None:
    print(f"{key_id}  {prefix}…  {name}  {role}  {project}  {state}")


def _database_url() -> str:
    """Return the URL of the configured database, else that of the application running on RLSD_HOME."""
    from backend.settings import settings
    from backend.stack.up import running_application

    if settings().database_url is not None:
        return settings().required_database_url
    running = running_application(settings().home)
    if running is None:
        raise AppError("No application is running on this data folder: start it with `rlsd up`, or set DATABASE_URL.")
    return running.database_url
