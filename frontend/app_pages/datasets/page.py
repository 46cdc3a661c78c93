"""Datasets: upload, list, and one dataset with its report and rows (`?dataset=file-…`)."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import ApiError, Client
from frontend.api.types import FileObject, FileReport
from frontend.app_pages.datasets import progress, upload, versions
from frontend.app_pages.datasets import report as report_view
from frontend.app_pages.datasets import rows as dataset_rows
from frontend.components import rights
from frontend.session import state
from frontend.widgets import browser_title, links, problems
from frontend.words import markdown, units

PAGE = 20


def listing(client: Client, *, zone: ZoneInfo) -> None:
    st.title("Datasets", anchor=False)
    st.write("A dataset is a table of tasks: questions for the model, and their right answers. Training uses its rows.")
    stored = upload.card(client)
    if stored:
        st.switch_page("app_pages/datasets/page.py", query_params={"dataset": stored})
    page = client.files(after=state.address("after"), limit=PAGE)
    if not page["data"]:
        st.info(
            "No datasets yet. Add one above, or start the tour on Home, which adds an example.", icon=":material/inbox:"
        )
        return
    st.subheader("Your datasets", anchor=False)
    for file in page["data"]:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{file['id']}"):
            with st.container(width="stretch", gap=None):
                links.within(
                    "app_pages/datasets/page.py",
                    f"**{markdown.plain(file['filename'])}**",
                    icon=":material/table_rows:",
                    key=f"open_{file['id']}",
                    dataset=file["id"],
                )
                st.caption(f"uploaded {units.moment(file['created_at'], zone)}")
            words = {"uploaded": "being read…", "error": "could not be read"}
            st.caption(words.get(file["status"], units.count(file["rows"], "row")), width="content")
            st.caption(units.size(file["bytes"]), width="content")
    if state.address("after"):
        links.within("app_pages/datasets/page.py", "Newest", icon=":material/first_page:", key="newest")
    if page["has_more"]:
        older = page["data"][-1]["id"]
        links.within("app_pages/datasets/page.py", "Older", icon=":material/chevron_right:", key="older", after=older)


def one(client: Client, file_id: str, *, zone: ZoneInfo) -> None:
    links.within("app_pages/datasets/page.py", "All datasets", icon=":material/arrow_back:", key="all_datasets")
    file = client.file(file_id)
    st.title(markdown.plain(file["filename"]), anchor=False)
    browser_title.show(file["filename"])
    st.caption(f"Uploaded {units.moment(file['created_at'], zone)}.")
    if progress.show_if_unread(client, file):
        if file["status"] == "error" and rights.button(client, "Delete", icon=":material/delete:", key="delete_unread"):
            delete(client, file_id)
        return
    report = client.file_report(file_id)
    versions.show_origin(file)
    actions(client, file)
    figures(file, report)
    report_view.panel(client, file, report)
    dataset_rows.panel(client, file, report)
    versions.panel(client, file, zone=zone)


def actions(client: Client, file: FileObject) -> None:
    with st.container(horizontal=True):
        if rights.button(client, "Train with this dataset", type="primary", icon=":material/add_circle:"):
            st.switch_page("app_pages/new_job/page.py", query_params={"dataset": file["id"]})
        st.download_button(
            "Download the original",
            data=lambda: client.file_content(file["id"]),
            file_name=file["filename"],
            icon=":material/download:",
            on_click="ignore",
        )
        with rights.popover(client, "Delete", icon=":material/delete:"):
            st.write("The file and its rows are deleted for everyone. This cannot be undone.")
            if st.button("Delete permanently", type="primary", key="delete_file"):
                delete(client, file["id"])


def delete(client: Client, file_id: str) -> None:
    try:
        client.delete_file(file_id)
    except ApiError as error:
        problems.show(error, title="The dataset was not deleted")
        return
    st.switch_page("app_pages/datasets/page.py", query_params={})


def figures(file: FileObject, report: FileReport) -> None:
    rows, size, shape = st.columns([1, 1, 2])
    rows.metric("Rows", f"{report['good']:,}", border=True)
    size.metric("Size", units.size(file["bytes"]), border=True)
    by_hand = report.get("shape") in (None, "mapping")
    shape.metric("Format", "chosen columns" if by_hand else report["shape"], border=True)
    if report["bad"]:
        st.warning(
            f"{units.count(report['bad'], 'row')} could not be read; see “Bad rows” below.", icon=":material/warning:"
        )
    else:
        st.success(
            f"All rows were read. With a reference answer: {report['with_answer']:,}, with a worked solution: "
            f"{report['with_solution']:,}. {columns_read(report)}",
            icon=":material/check_circle:",
        )
    for note in report["notes"]:
        st.caption(f":material/info: {markdown.plain(note)}")


def columns_read(report: FileReport) -> str:
    """Describe which column each part was read from."""
    columns = report["columns"]
    found = {part: column for part, column in columns.items() if part != "solution" or report["with_solution"]}
    if found.get("hint") == found.get("solution"):  # one column that is both: say it once
        found.pop("hint", None)
    parts = [f"{part} from `{column}`" for part, column in found.items() if column and part != "first_choice"]
    return f"Read: {', '.join(parts)}." if parts else ""


def page() -> None:
    client, zone = state.client(), state.zone()
    chosen = state.address("dataset")
    if chosen:
        one(client, chosen, zone=zone)
    else:
        listing(client, zone=zone)


if __name__ == "__main__":
    page()
