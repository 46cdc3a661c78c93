"""The UI server: Streamlit plus two routes, for the sign-in cookie and for scripts too large for a message.

Start it with `streamlit run frontend/streamlit_app.py`; `RLSD_API_URL` is the address of the API. Every page run
starts in `navigation.py`.
"""

from pathlib import Path

import streamlit as st
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from frontend.session import identity
from frontend.session.browser_sessions import IDLE_S, cookie_of, sessions

MAX_TICKET_BYTES = 200


async def keep_signed_in(request: Request) -> Response:
    """Exchange a ticket (the body) for the session cookie. 403 for a ticket that is unknown, used or too old."""
    ticket = b""
    async for chunk in request.stream():
        ticket += chunk
        if len(ticket) > MAX_TICKET_BYTES:
            return Response(status_code=403)
    session_id = sessions.redeem(ticket.decode("ascii", errors="replace"))
    if session_id is None:
        return Response(status_code=403)
    response = Response(status_code=204)
    secure = "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))
    response.set_cookie(
        cookie_of(request.headers.get("host", "")),
        session_id,
        max_age=int(IDLE_S),
        path="/",
        httponly=True,
        samesite="strict",
        secure=secure,
    )
    return response


HERE = Path(__file__).parent
ROUTES = [
    Route("/session", keep_signed_in, methods=["POST"]),
    Mount("/assets", StaticFiles(directory=HERE / "assets")),
]
app = st.App(HERE / "navigation.py", routes=ROUTES, secrets=identity.streamlit_secrets() or None)
