"""The machines and workers as last reported, and the queues without a worker."""

import time
from itertools import groupby
from zoneinfo import ZoneInfo

import streamlit as st

from frontend.api import Client
from frontend.api.types import WorkerObject
from frontend.widgets import problems
from frontend.words import units
from frontend.words.settings import QUEUES, gpus, sandbox, unserved_queues

POLL_S = 10.0
TITLES = {queue.name: queue.title for queue in QUEUES}


def panel(client: Client, *, zone: ZoneInfo) -> None:
    st.fragment(_show_workers, run_every=POLL_S)(client, zone)


def _show_workers(client: Client, zone: ZoneInfo) -> None:
    with problems.shown():
        workers = client.workers()
        unserved = unserved_queues(workers)
        for queue in unserved:
            st.warning(
                f"{queue.consequence} The operator of the server can start one with `rlsd worker --queue "
                f"{queue.name}`.",
                title=f"{queue.title}: no worker is running",
                icon=":material/person_off:",
            )
        if not workers:
            return
        served = [queue.title for queue in QUEUES if queue not in unserved]
        st.caption(f"Workers are running for: {', '.join(served)}. They report every 15 seconds.")
        by_host = sorted(workers, key=lambda worker: worker["host"])
        for host, found in groupby(by_host, key=lambda worker: worker["host"]):
            _machine(host, list(found), zone=zone)


def _machine(host: str, workers: list[WorkerObject], *, zone: ZoneInfo) -> None:
    with st.container(border=True, key=f"machine_{host}"):
        st.markdown(f":material/dns: **{host}**")
        most = max(workers, key=lambda worker: len(worker["devices"]))
        st.markdown(f":material/memory: {gpus(most['devices'])}")
        box = sandbox(workers)
        if box is not None:
            st.markdown(f":material/shield: {box}")
        st.dataframe(
            [
                {
                    "work": ", ".join(TITLES.get(queue, queue) for queue in worker["queues"]),
                    "queue": ", ".join(worker["queues"]),
                    "last seen": f"{units.duration(time.time() - worker['seen_at'])} ago",
                    "since": units.moment(worker["started_at"], zone),
                    "version": worker["version"],
                    "worker": worker["id"],
                }
                for worker in workers
            ],
            hide_index=True,
            alt=f"Workers on {host}",
        )
