"""Sign-in through the organisation's identity provider, by Streamlit's own `st.login`, where one is set up.

What signs somebody in at the API is the provider's ID token, kept like a key. The provider says who somebody is; what
they may is the API's to say.
"""

import os
import secrets
import time
from importlib.util import find_spec
from typing import Any

import streamlit as st

NEEDED = ("RLSD_OIDC_ISSUER", "RLSD_OIDC_AUDIENCE", "RLSD_OIDC_CLIENT_SECRET", "RLSD_UI_URL")


def offered() -> bool:
    """Whether this UI can send people to a provider: the client's secret is what only the UI needs."""
    return bool(os.environ.get("RLSD_OIDC_CLIENT_SECRET"))


def streamlit_secrets() -> dict[str, Any]:
    """What `st.login` reads. Raises ValueError where something is set and something it needs is not.

    The cookie's signature is new with each start of the UI, which signs everyone out in any case (`sessions.py`).
    """
    if not offered():
        return {}
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        raise ValueError(f"RLSD_OIDC_CLIENT_SECRET is set, so the UI also needs {', '.join(missing)}.")
    if find_spec("authlib") is None:
        raise ValueError("RLSD_OIDC_CLIENT_SECRET is set, but the package for it is missing: pip install '.[oidc]'.")
    issuer, client_id, client_secret, ui_url = (os.environ[name] for name in NEEDED)
    return {
        "auth": {
            "redirect_uri": f"{ui_url.rstrip('/')}/oauth2callback",
            "cookie_secret": secrets.token_urlsafe(32),
            "client_id": client_id,
            "client_secret": client_secret,
            "server_metadata_url": f"{issuer.rstrip('/')}/.well-known/openid-configuration",
            "client_kwargs": {"scope": "openid email", "code_challenge_method": "S256"},
            "expose_tokens": ["id"],
        }
    }


def known() -> bool:
    """Whether the provider has told who is there, in this browser."""
    return offered() and bool(st.user.is_logged_in)


def id_token() -> str | None:
    """Of who is there; None once its time is over."""
    if not known() or float(str(st.user.get("exp", 0))) <= time.time():
        return None
    token: str | None = st.user.tokens.get("id")
    return token
