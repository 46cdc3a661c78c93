"""`/v1/files`."""

from collections.abc import Sequence
from typing import IO, cast

from frontend.api.http import Wire
from frontend.api.types import Check, DataFile, FileDifference, FileReport, Json, Page, Row
from frontend.api.types_files import FilePreview

MOST_DATASETS = 1000
"""Offered in a menu."""


class Files(Wire):
    """Datasets: uploads, versions, rows."""

    def files(self, *, after: str | None = None, limit: int = 100) -> Page:
        return cast("Page", self.get_json("/v1/files", after=after, limit=limit, order="desc"))

    def datasets(self) -> list[DataFile]:
        """The newest files whose rows can be used."""
        return [file for file in self.files(limit=MOST_DATASETS)["data"] if file["status"] == "processed"]

    def file(self, file_id: str) -> DataFile:
        return cast("DataFile", self.get_json(f"/v1/files/{file_id}"))

    def upload(
        self,
        content: IO[bytes],
        *,
        filename: str,
        mapping: str | None,
        leave_out_bad: bool = False,
        wait: bool = True,
    ) -> DataFile:
        """Store a dataset. `mapping` is JSON: {"question": column, "answer": column, "hint"?: column}.

        Without `wait` its `status` may be `uploaded`: ask again until it is not.
        """
        form = {"purpose": "fine-tune"} | ({"mapping": mapping} if mapping else {})
        form |= {"on_bad_rows": "take_good"} if leave_out_bad else {}
        prefer = {} if wait else {"Prefer": "respond-async"}
        files = {"file": (filename, content)}
        return cast("DataFile", self.call("POST", "/v1/files", data=form, files=files, headers=prefer))

    def preview(self, content: bytes, *, filename: str, mapping: str | None) -> FilePreview:
        """How the first rows would be read; nothing is stored. `mapping` as for `upload`."""
        form = {"purpose": "fine-tune"} | ({"mapping": mapping} if mapping else {})
        files = {"file": (filename, content)}
        return cast("FilePreview", self.call("POST", "/v1/files/preview", data=form, files=files))

    def delete_file(self, file_id: str) -> None:
        self.call("DELETE", f"/v1/files/{file_id}")

    def file_content(self, file_id: str) -> bytes:
        return self.get_bytes(f"/v1/files/{file_id}/content")

    def file_report(self, file_id: str, *, against: str | None = None) -> FileReport:
        """`against`: another file, whose overlap with this one is then told."""
        return cast("FileReport", self.get_json(f"/v1/files/{file_id}/report", against=against))

    def file_image(self, file_id: str, sha256: str) -> bytes:
        return self.get_bytes(f"/v1/files/{file_id}/images/{sha256}")

    def count_tokens(self, file_id: str, *, model: str, max_prompt_tokens: int, max_completion_tokens: int) -> Check:
        """Have a worker count the tokens of a file's rows; the report holds the result once the check is done."""
        body = {"model": model, "max_prompt_tokens": max_prompt_tokens, "max_completion_tokens": max_completion_tokens}
        return cast("Check", self.call("POST", f"/v1/files/{file_id}/tokens", json=body))

    def file_rows(self, file_id: str, *, search: str | None = None, after: str | None = None, limit: int) -> Page:
        """In order; those whose question or reference holds this text."""
        return cast("Page", self.get_json(f"/v1/files/{file_id}/rows", search=search, after=after, limit=limit))

    def rows_from(self, file_id: str, first: int, *, limit: int) -> list[Row]:
        """The row of this number, counted from 0, and those after it."""
        return cast("list[Row]", self.file_rows(file_id, after=_before(first), limit=limit)["data"])

    def rows_by_number(self, file_id: str, numbers: Sequence[int]) -> list[Row]:
        """These rows, counted from 0; those that are not there are left out. 500 at most."""
        query = {"number": list(numbers), "limit": len(numbers)}
        return cast("list[Row]", self.call("GET", f"/v1/files/{file_id}/rows", params=query)["data"])

    def create_version(self, file_id: str, *, edits: list[Json], filters: list[Json], filename: str | None) -> DataFile:
        """A new file: this one with these edits, without the rows that the filters leave out."""
        body: Json = {"edits": edits, "filters": filters} | ({"filename": filename} if filename else {})
        return cast("DataFile", self.call("POST", f"/v1/files/{file_id}/versions", json=body))

    def split_file(self, file_id: str, *, share: float, seed: int, stratify_by: str | None) -> dict[str, DataFile]:
        """Two new files, `train` and `validation`."""
        body: Json = {"share": share, "seed": seed, "stratify_by": stratify_by}
        return cast("dict[str, DataFile]", self.call("POST", f"/v1/files/{file_id}/split", json=body))

    def file_versions(self, file_id: str) -> list[DataFile]:
        """The file's whole family, the oldest first."""
        return cast("list[DataFile]", self.get_json(f"/v1/files/{file_id}/versions")["data"])

    def file_difference(self, file_id: str, *, to: str, limit: int) -> FileDifference:
        return cast("FileDifference", self.get_json(f"/v1/files/{file_id}/difference", to=to, limit=limit))

    def file_history(self, file_id: str, first: int, *, limit: int) -> Page:
        """The row of this number and those after it, with what each job did with them."""
        return cast("Page", self.get_json(f"/v1/files/{file_id}/history", after=_before(first), limit=limit))


def _before(number: int) -> str | None:
    """The id of the row before this one."""
    return f"row-{number - 1}" if number else None
