"""`/v1/files`: datasets, their versions and rows."""

from collections.abc import Sequence
from typing import IO, cast

from frontend.api.http import Wire, segment
from frontend.api.types import (
    CheckObject,
    DatasetRowHistory,
    DifferencePage,
    FileObject,
    FilePreview,
    FileReport,
    FileRow,
    Json,
    Page,
    SplitObject,
)

MOST_DATASETS = 1000
"""Limit of the datasets offered in a menu."""


class Files(Wire):
    """Datasets: uploads, versions, rows."""

    def files(self, *, after: str | None = None, limit: int = 100) -> Page[FileObject]:
        return cast("Page[FileObject]", self.get_json("/v1/files", after=after, limit=limit, order="desc"))

    def datasets(self) -> list[FileObject]:
        """List the newest files whose rows can be used."""
        return [file for file in self.files(limit=MOST_DATASETS)["data"] if file["status"] == "processed"]

    def file(self, file_id: str) -> FileObject:
        return cast("FileObject", self.get_json(f"/v1/files/{segment(file_id)}"))

    def upload(
        self,
        content: IO[bytes],
        *,
        filename: str,
        mapping: str | None,
        leave_out_bad: bool = False,
        wait: bool = True,
    ) -> FileObject:
        """Store a dataset. `mapping` is JSON: {"question": column, "answer": column, "hint"?: column}.

        It may also, or only, name "sheet" and "header_row", where the table begins. Without `wait` its `status` may
        still be `uploaded`: poll until it changes.
        """
        form = {"purpose": "fine-tune"} | ({"mapping": mapping} if mapping else {})
        form |= {"on_bad_rows": "take_good"} if leave_out_bad else {}
        prefer = {} if wait else {"Prefer": "respond-async"}
        files = {"file": (filename, content)}
        return cast("FileObject", self.call("POST", "/v1/files", data=form, files=files, headers=prefer))

    def preview(self, content: bytes, *, filename: str, mapping: str | None) -> FilePreview:
        """Return how the first rows would be read; nothing is stored. `mapping` as for `upload`."""
        form = {"purpose": "fine-tune"} | ({"mapping": mapping} if mapping else {})
        files = {"file": (filename, content)}
        return cast("FilePreview", self.call("POST", "/v1/files/preview", data=form, files=files))

    def delete_file(self, file_id: str) -> None:
        self.call("DELETE", f"/v1/files/{segment(file_id)}")

    def file_content(self, file_id: str) -> bytes:
        return self.get_bytes(f"/v1/files/{segment(file_id)}/content")

    def file_report(self, file_id: str, *, against: str | None = None) -> FileReport:
        """Return a file's report. `against`: another file; the report then contains their overlap."""
        return cast("FileReport", self.get_json(f"/v1/files/{segment(file_id)}/report", against=against))

    def file_image(self, file_id: str, sha256: str) -> bytes:
        return self.get_bytes(f"/v1/files/{segment(file_id)}/images/{segment(sha256)}")

    def count_tokens(
        self,
        file_id: str,
        *,
        model: str,
        max_prompt_tokens: int,
        max_completion_tokens: int,
        fold_system: bool = False,
        instruction: str = "",
    ) -> CheckObject:
        """Start counting the tokens of a file's rows; the report contains the result once the check is done."""
        limits = {"max_prompt_tokens": max_prompt_tokens, "max_completion_tokens": max_completion_tokens}
        body = {"model": model, **limits, "fold_system": fold_system, "instruction": instruction}
        return cast("CheckObject", self.call("POST", f"/v1/files/{segment(file_id)}/tokens", json=body))

    def file_rows(
        self, file_id: str, *, search: str | None = None, after: str | None = None, limit: int
    ) -> Page[FileRow]:
        """List rows in order; with `search`, those whose question or reference contains it."""
        return cast(
            "Page[FileRow]",
            self.get_json(f"/v1/files/{segment(file_id)}/rows", search=search, after=after, limit=limit),
        )

    def rows_from(self, file_id: str, first: int, *, limit: int) -> list[FileRow]:
        """Return `limit` rows from this number, counted from 0."""
        return self.file_rows(file_id, after=_before(first), limit=limit)["data"]

    def rows_by_number(self, file_id: str, numbers: Sequence[int]) -> list[FileRow]:
        """Return at most 500 rows by number, counted from 0; missing ones are left out."""
        query = {"number": list(numbers), "limit": len(numbers)}
        return cast("list[FileRow]", self.call("GET", f"/v1/files/{segment(file_id)}/rows", params=query)["data"])

    def create_version(
        self, file_id: str, *, edits: list[Json], filters: list[Json], filename: str | None
    ) -> FileObject:
        """Create a new file: this one with the edits, without the rows that the filters exclude."""
        body: Json = {"edits": edits, "filters": filters} | ({"filename": filename} if filename else {})
        return cast("FileObject", self.call("POST", f"/v1/files/{segment(file_id)}/versions", json=body))

    def split_file(self, file_id: str, *, share: float, seed: int, stratify_by: str | None) -> SplitObject:
        """Create two new files, `train` and `validation`."""
        body: Json = {"share": share, "seed": seed, "stratify_by": stratify_by}
        return cast("SplitObject", self.call("POST", f"/v1/files/{segment(file_id)}/split", json=body))

    def file_versions(self, file_id: str) -> list[FileObject]:
        """List all versions of a file, the oldest first."""
        return cast("list[FileObject]", self.get_json(f"/v1/files/{segment(file_id)}/versions")["data"])

    def file_difference(self, file_id: str, *, to: str, limit: int) -> DifferencePage:
        return cast("DifferencePage", self.get_json(f"/v1/files/{segment(file_id)}/difference", to=to, limit=limit))

    def file_history(self, file_id: str, first: int, *, limit: int) -> Page[DatasetRowHistory]:
        """Return `limit` rows from this number, with their solve rates in each job."""
        return cast(
            "Page[DatasetRowHistory]",
            self.get_json(f"/v1/files/{segment(file_id)}/history", after=_before(first), limit=limit),
        )


def _before(number: int) -> str | None:
    """Return the cursor for rows from this number."""
    return f"row-{number - 1}" if number else None
