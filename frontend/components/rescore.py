"""A job's completions under another verifier: choose it, wait, read what changes."""

from dataclasses import dataclass
from typing import Any
from zoneinfo import ZoneInfo

import streamlit as st

from frontend import units
from frontend.client import ApiError, Client
from frontend.components import problems, verdict
from frontend.feed import JobFeed
from frontend.shapes import Check, Json, Verifier

KEPT = "rescore_kept"
POLL_S = 1.0
MOST, USUAL = 20_000, 2000
OWN = "This job's own"
VERDICTS = ("right", "wrong", "abstain", "error", "timeout")


@dataclass(frozen=True, slots=True)
class Kept:
    """The newest check of a job as last read; a finished one does not change."""

    job_id: str
    check: Check | None

    @property
    def waiting(self) -> bool:
        return self.check is not None and self.check["status"] in ("queued", "running")


def panel(feed: JobFeed, client: Client, *, zone: ZoneInfo) -> None:
    st.caption(
        "Scores what the model wrote in training again, by another verifier or another version, and tells what would "
        "have been learnt instead. Nothing of the job changes."
    )
    if feed.step == 0:
        st.info("Completions appear with the first step.", icon=":material/hourglass_empty:")
        return
    kept = _kept(feed.job_id, client)
    _form(feed, client, waiting=kept.waiting)
    kept = _kept(feed.job_id, client)
    if kept.check is None:
        return
    if kept.waiting:
        st.fragment(_wait, run_every=POLL_S)(feed.job_id, client)
    elif kept.check["status"] == "failed":
        st.error((kept.check["error"] or {}).get("message", "It failed."), icon=":material/error:", title="Not scored")
    else:
        st.caption(f"Scored {units.moment(kept.check['finished_at'] or kept.check['created_at'], zone)}.")
        _result(kept.check["result"] or {})


def _kept(job_id: str, client: Client) -> Kept:
    kept: Kept | None = st.session_state.get(KEPT)
    if kept is None or kept.job_id != job_id:
        newest = next(iter(client.checks(kind="rescore", job=job_id)), None)
        kept = Kept(job_id, newest and client.check(newest["id"]))
        st.session_state[KEPT] = kept
    return kept


def _form(feed: JobFeed, client: Client, *, waiting: bool) -> None:
    grader = _chosen(feed, client)
    first, last, most = st.columns(3)
    start = first.number_input("From step", 1, feed.step, value=None, placeholder="the first", key="rescore_from")
    end = last.number_input("To step", 1, feed.step, value=None, placeholder="the last", key="rescore_to")
    limit = most.number_input(
        "Completions at most", 1, MOST, USUAL, step=500, key="rescore_limit", help="The newest of these steps."
    )
    if not st.button("Score again", icon=":material/published_with_changes:", key="rescore_go", disabled=waiting):
        return
    try:
        check = client.rescore(feed.job_id, grader=grader, first=start, last=end, limit=limit)
    except ApiError as error:
        problems.show(error, title="Not scored")
        return
    st.session_state[KEPT] = Kept(feed.job_id, check)


def _chosen(feed: JobFeed, client: Client) -> Json:
    """The grader that is asked for: the job's own, in its newest version, or a saved one."""
    asked: Json = feed.job["method"]["reinforcement"]
    own: Json = asked.get("x_verifier", {})
    saved: dict[str, Verifier] = {verifier["id"]: verifier for verifier in client.verifiers()["data"]}
    own_id = own.get("id")
    names = {key: verifier["name"] for key, verifier in saved.items()}
    if own_id not in saved:
        names = {OWN: OWN, **names}
    keys = list(names)
    left, right = st.columns([3, 1])
    chosen = left.selectbox(
        "Verifier",
        keys,
        index=keys.index(own_id) if own_id is not None and own_id in saved else 0,
        format_func=lambda key: f"{names[key]} (this job's)" if key == own_id else names[key],
        key="rescore_verifier",
    )
    if chosen == OWN:
        grader: Json = asked["grader"]
        return grader
    newest = saved[chosen]["version"]
    version = right.selectbox(
        "Version",
        list(range(newest, 0, -1)),
        format_func=lambda number: (
            f"{number}{' (newest)' if number == newest else ''}"
            + (", trained with" if chosen == own_id and number == own.get("version") else "")
        ),
        key=f"rescore_version_{chosen}_{newest}",
    )
    return {"type": "saved", "id": chosen, "version": version}


def _wait(job_id: str, client: Client) -> None:
    kept: Kept = st.session_state[KEPT]
    if kept.job_id != job_id or kept.check is None:
        return
    with problems.shown():
        kept = Kept(job_id, client.check(kept.check["id"]))
        st.session_state[KEPT] = kept
    if not kept.waiting:
        st.rerun()
    assert kept.check is not None
    progress = kept.check["progress"]
    if progress is None:
        st.progress(0.0, text="Waiting for a worker…")
    else:
        done, total = progress["done"], max(1, progress["total"])
        st.progress(min(1.0, done / total), text=f"{done:,} of {total:,} {progress['unit']}")


# -- the result -------------------------------------------------------------------------------------------------------


def _result(result: Json) -> None:
    if result["same_verifier"]:
        st.info("This is the verifier that the job was trained with: what differs below, it decides anew each time.")
    (st.success if result["changed"] == 0 else st.info)(result["summary"], icon=":material/balance:")
    if result["fault_share_after"]:
        share = units.percent(result["fault_share_after"], decimals=1)
        st.warning(f"{share} of the calls ended in an error or a timeout.", icon=":material/warning:")
    left, right = st.columns(2, gap="large")
    with left:
        st.subheader("Verdicts", anchor=False, help="Lines: as trained. Columns: now.")
        st.dataframe(transition_table(result["transitions"]), hide_index=True, alt="Verdicts before and after")
    with right:
        _training(result["training"])
    st.subheader("Rows", anchor=False)
    listed = len(result["rows"])
    first = f", the {listed:,} with the most of them below" if listed < result["rows_total"] else ""
    st.caption(f"{result['rows_changed']:,} of {result['rows_total']:,} rows have completions that changed{first}.")
    st.dataframe(
        result["rows"],
        hide_index=True,
        height=min(38 + 35 * listed, 320),
        alt="Dataset rows with the mean score before and after",
        column_order=["row", "completions", "changed", "mean_before", "mean_after"],
        column_config={
            "mean_before": st.column_config.NumberColumn("mean before", format="%.3f"),
            "mean_after": st.column_config.NumberColumn("mean after", format="%.3f"),
        },
    )
    if result["examples"]:
        _examples(result["examples"])


def transition_table(transitions: list[Json]) -> list[dict[str, Any]]:
    """A line a verdict before, a column a verdict after; those that never occur are left out."""
    counts = {(line["before"], line["after"]): line["count"] for line in transitions}
    before = [name for name in VERDICTS if any(name == one for one, _ in counts)]
    after = [name for name in VERDICTS if any(name == other for _, other in counts)]
    return [{"before": name, **{f"now {other}": counts.get((name, other), 0) for other in after}} for name in before]


def _training(found: Json) -> None:
    st.subheader("What would have been learnt", anchor=False)
    if not found["learns_from_scores"]:
        st.caption("The method of this job does not learn from scores: another verifier would only measure otherwise.")
    table = [
        {"groups": "with nothing to learn", "before": found["dead_before"], "now": found["dead_after"]},
        {"groups": "right and wrong mixed", "before": found["mixed_before"], "now": found["mixed_after"]},
        {"groups": "all", "before": found["groups"], "now": found["groups"]},
    ]
    st.dataframe(table, hide_index=True, alt="Groups before and after")
    cut = (
        f" {units.count(found['groups_incomplete'], 'group')} cut by the limit left out."
        if found["groups_incomplete"]
        else ""
    )
    st.caption(
        f"{found['signs_changed']:,} of {found['advantages']:,} advantages change their sign, "
        f"{found['signs_reversed']:,} of them from praise to blame or back.{cut}"
    )


def _examples(examples: list[Json]) -> None:
    st.subheader("Side by side", anchor=False)
    number = st.selectbox(
        "Completion",
        range(len(examples)),
        format_func=lambda place: _label(examples[place]),
        key=f"rescore_example_{examples[0]['id']}",
    )
    example = examples[number]
    if example["answer"] is not None:
        st.caption(f"Reference answer: {example['answer']}")
    st.code(example["completion"], language=None, wrap_lines=True)
    if example["cut"]:
        st.caption("The completion is longer; its beginning is shown.")
    for place, title, record in zip(st.columns(2), ("As trained", "Now"), ("before", "after"), strict=True):
        with place:
            st.markdown(f"**{title}**")
            verdict.show(example[record], key=f"rescore_{record}")


def _label(example: Json) -> str:
    scores = [_score(example[name]) for name in ("before", "after")]
    return f"step {example['step']}, row {example['row']}, sample {example['sample']}: {' → '.join(scores)}"


def _score(record: Json) -> str:
    return f"{record['score']:g}" if record["score"] is not None else str(record["status"])
