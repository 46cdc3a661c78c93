"""`/v1/models`, and what a job leaves behind to take away."""

from typing import cast
from urllib.parse import quote

from frontend.api.http import Wire
from frontend.api.types import Export, Json


class Models(Wire):
    """Bases, adapters and exports."""

    def models(self) -> list[Json]:
        return cast("list[Json]", self.get_json("/v1/models")["data"])

    def model(self, name: str) -> Json:
        return self.get_json(f"/v1/models/{quote(name, safe=':/')}")

    def models_asked(self, *, days: int) -> set[str]:
        """The names under which models have been asked in so many days, today's answers included."""
        return {used["model"] for used in self.get_json("/v1/usage", days=days)["data"]}

    def delete_model(self, name: str) -> None:
        """The adapter; its job stays."""
        self.call("DELETE", f"/v1/models/{quote(name, safe=':/')}")

    def manifest(self, job_id: str) -> Json:
        """What the adapter was made of."""
        return self.get_json(f"/v1/fine_tuning/jobs/{job_id}/manifest")

    def adapter(self, job_id: str) -> bytes:
        """The trained adapter as a ZIP."""
        return self.get_bytes(f"/v1/fine_tuning/jobs/{job_id}/adapter")

    def checkpoints(self, job_id: str) -> list[Json]:
        """Those that are kept, the newest first."""
        return cast("list[Json]", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/checkpoints", limit=100)["data"])

    def exports(self, job_id: str) -> list[Export]:
        """The newest first."""
        return cast("list[Export]", self.get_json(f"/v1/fine_tuning/jobs/{job_id}/exports")["data"])

    def create_export(self, job_id: str, *, format: str, checkpoint: str | None) -> Export:
        """Have a model made of the adapter; the same request gives the same export."""
        body: Json = {"format": format, "checkpoint": checkpoint}
        return cast("Export", self.call("POST", f"/v1/fine_tuning/jobs/{job_id}/exports", json=body))

    def delete_export(self, export: Export) -> None:
        self.call("DELETE", f"/v1/fine_tuning/jobs/{export['job_id']}/exports/{export['id']}")

    def export_content(self, export: Export) -> bytes:
        """The ZIP."""
        return self.get_bytes(f"/v1/fine_tuning/jobs/{export['job_id']}/exports/{export['id']}/content")
