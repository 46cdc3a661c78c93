"""Signed-in browser sessions, so that a refreshed page does not ask for the key again.

The key stays in this process. A browser holds a random session id in a cookie that scripts cannot read (HttpOnly) and
other sites cannot send (SameSite=Strict). Streamlit's pages cannot set such a cookie, so after sign-in the page sends a
ticket, valid once and for a minute, to `POST /session`, which sets the cookie. Signing out deletes the session here,
whatever the browser keeps. A restart of the UI signs everyone out.
"""

import secrets
import threading
import time
from dataclasses import dataclass

IDLE_S = 12 * 3600.0
SESSION = "browser_session"
"""Key of the session id in `st.session_state`."""
TICKET_S = 60.0
MOST_SESSIONS = 10_000


@dataclass(slots=True)
class Session:
    key: str
    used_at: float


def cookie_of(host: str) -> str:
    """Return the name of the session cookie for a `Host` header, such as `localhost:8501`.

    Browsers share cookies between the ports of a host; the port in the name keeps two Workbenches apart.
    """
    port = host.rpartition(":")[2]
    return f"rlsd_session_{port}" if port.isdigit() else "rlsd_session"


class Sessions:
    """The sessions and their tickets. Thread-safe: page scripts and the route that sets the cookie run concurrently."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[str, Session] = {}
        self._tickets: dict[str, tuple[str, float]] = {}

    def open(self, key: str) -> tuple[str, str]:
        """Start a session. Returns its id, for the page, and a ticket, with which the browser fetches the cookie."""
        session_id, ticket, now = secrets.token_urlsafe(32), secrets.token_urlsafe(32), time.monotonic()
        with self._lock:
            self._forget_old(now)
            self._sessions[session_id] = Session(key=key, used_at=now)
            self._tickets[ticket] = (session_id, now)
        return session_id, ticket

    def redeem(self, ticket: str) -> str | None:
        """Exchange a ticket for its session id. None if it is unknown, used or expired."""
        with self._lock:
            session_id, issued_at = self._tickets.pop(ticket, (None, 0.0))
        return session_id if time.monotonic() - issued_at < TICKET_S else None

    def awaits(self, ticket: str) -> bool:
        """Report whether the ticket can still be redeemed."""
        with self._lock:
            _, issued_at = self._tickets.get(ticket, ("", float("-inf")))
        return time.monotonic() - issued_at < TICKET_S

    def key_of(self, session_id: str) -> str | None:
        """Return the key of a session and renew its idle time. None if it is unknown or idle for too long."""
        now = time.monotonic()
        with self._lock:
            session = self._sessions.get(session_id)
            if session is None or now - session.used_at > IDLE_S:
                return None
            session.used_at = now
            return session.key

    def close(self, session_id: str) -> None:
        with self._lock:
            self._sessions.pop(session_id, None)

    def _forget_old(self, now: float) -> None:
        self._tickets = {t: (s, at) for t, (s, at) in self._tickets.items() if now - at < TICKET_S}
        self._sessions = {s: held for s, held in self._sessions.items() if now - held.used_at <= IDLE_S}
        while len(self._sessions) >= MOST_SESSIONS:
            del self._sessions[min(self._sessions, key=lambda s: self._sessions[s].used_at)]


sessions = Sessions()
"""The sessions of this process. No `cache_resource`: the route that sets the cookie runs outside of Streamlit's
scripts, and clearing the caches must not sign everyone out."""
