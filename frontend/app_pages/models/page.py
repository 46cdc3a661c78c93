"""Models: base models and trained adapters; one model by `?model=`."""

from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import ApiError, Client, public_api_url
from frontend.api.types import ModelObject
from frontend.app_pages.models import card, fetch, use_code
from frontend.components import downloads, rights, verdict_chip
from frontend.components.job_feed import JobFeed
from frontend.session import state
from frontend.widgets import browser_title, links, problems, tabs
from frontend.words import units
from frontend.words.markdown import plain
from frontend.words.models import is_trained, title_of

SHOWN = 20
CARD, USE, DOWNLOADS, MANIFEST = "Card", "Use it", "Downloads", "Manifest"


def listing(client: Client, *, zone: ZoneInfo) -> None:
    st.title("Models", anchor=False)
    st.write(
        "Training starts from base models and creates adapters. Open a model to see how it was trained, to download "
        "it, or to try it."
    )
    models = client.models()
    trained = [model for model in models if is_trained(model)]
    st.subheader("Trained here", anchor=False)
    if not trained:
        st.info("Nothing has been trained yet. The adapters of finished jobs appear here.", icon=":material/inbox:")
        rights.page_link(
            client, "app_pages/new_job/page.py", label="Train the first model", icon=":material/add_circle:"
        )
    else:
        rows(trained, zone=zone)
    st.subheader("Base models", anchor=False)
    for model in models:
        if not is_trained(model):
            row(model, about="base model on this server")
    fetch.offer(client, listed={model["id"] for model in models})


def rows(trained: list[ModelObject], *, zone: ZoneInfo) -> None:
    """Show models, the newest first; many of them with a search field and a toggle."""
    search = ""
    if len(trained) > SHOWN:
        search = st.text_input("Find", placeholder="tab of the name or base model", key="find_model").strip().lower()
    found = [model for model in trained if search in f"{title_of(model['id'])} {model['x_base']}".lower()]
    every = len(found) <= SHOWN or st.toggle(f"Show all {len(found)}", key="all_models")
    for model in found if every else found[:SHOWN]:
        row(model, about=origin(model, zone=zone))
    if not found:
        st.caption("No model matches.")


def row(model: ModelObject, *, about: str) -> None:
    name = model["id"]
    with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"row_{name}"):
        with st.container(width="stretch", gap=None):
            icon = ":material/model_training:" if is_trained(model) else ":material/deployed_code:"
            links.within(
                "app_pages/models/page.py", f"**{plain(title_of(name))}**", icon=icon, key=f"open_{name}", model=name
            )
            st.caption(about)
        verdict_chip.of_model(model)
        st.page_link(
            "app_pages/playground/page.py",
            label="Try it",
            icon=":material/forum:",
            query_params=playground_query(model),
        )


def origin(model: ModelObject, *, zone: ZoneInfo) -> str:
    method = f" with {model['x_method'].upper()}" if model["x_method"] else ""
    trained = units.moment(model["created"], zone)
    return f"from {plain(str(model['x_base']))}{method}, seed {model['x_seed']} · trained {trained}"


def playground_query(model: ModelObject) -> dict[str, str]:
    """Return the playground's query: a trained model next to its base, or a base alone."""
    if is_trained(model):
        return {"left": str(model["x_base"]), "right": model["id"]}
    return {"left": model["id"]}


def base_page(client: Client, model: ModelObject, *, zone: ZoneInfo) -> None:
    name = model["id"]
    st.title(plain(name), anchor=False)
    st.write("A base model on this server. Training does not change it, but creates an adapter on top of it.")
    with st.container(horizontal=True):
        st.page_link(
            "app_pages/playground/page.py", label="Try it", icon=":material/forum:", query_params={"left": name}
        )
        rights.page_link(client, "app_pages/new_job/page.py", label="Train it", icon=":material/add_circle:")
    of_it = [each for each in client.models() if each["x_base"] == name]
    st.subheader("Adapters of this model", anchor=False)
    if of_it:
        rows(of_it, zone=zone)
    else:
        st.caption("Nothing yet.")
    st.subheader("Use it from a program", anchor=False)
    st.code(use_code.openai(name, api_url=public_api_url(), manifest=None), language="python", wrap_lines=True)


def trained_page(client: Client, model: ModelObject, *, zone: ZoneInfo) -> None:
    assert model["x_job"] is not None
    job = client.job(model["x_job"])
    manifest = client.manifest(job["id"])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(plain(title_of(model["id"])), anchor=False, width="content")
        browser_title.show(title_of(model["id"]))
        verdict_chip.of_model(model)
    st.caption(f"{origin(model, zone=zone)} · `{model['id']}`")
    with st.container(horizontal=True):
        if st.button("Compare with base model", type="primary", icon=":material/forum:", key="to_playground"):
            st.switch_page("app_pages/playground/page.py", query_params=playground_query(model))
        with rights.popover(client, "Delete", icon=":material/delete:", key="delete_open"):
            st.write(
                "The adapter can no longer be used or downloaded. The job, its metrics, its checkpoints and finished "
                "exports stay."
            )
            if st.button("Delete the adapter", type="primary", icon=":material/delete:", key="delete_model"):
                delete(client, model)
    tab = tabs.choice("Show", [CARD, USE, DOWNLOADS, MANIFEST], of=model["id"])
    with problems.shown():
        if tab == CARD:
            card.card(client, job, manifest)
        elif tab == USE:
            card.how_to_use(model["id"], manifest)
        elif tab == DOWNLOADS:
            downloads.panel(JobFeed(job=job), client)
        else:
            card.manifest_in_full(job, manifest)


def delete(client: Client, model: ModelObject) -> None:
    try:
        client.delete_model(model["id"])
    except ApiError as error:
        problems.show(error, title="The model was not deleted")
        return
    st.toast(f"{plain(title_of(model['id']))} was deleted.", icon=":material/delete:")
    st.switch_page("app_pages/models/page.py", query_params={})


def page() -> None:
    client, zone = state.client(), state.zone()
    selected = state.address("model")
    if selected is None:
        listing(client, zone=zone)
    else:
        links.within("app_pages/models/page.py", "All models", icon=":material/arrow_back:", key="all_models_link")
        chosen = client.model(selected)
        if is_trained(chosen):
            trained_page(client, chosen, zone=zone)
        else:
            base_page(client, chosen, zone=zone)


if __name__ == "__main__":
    page()
