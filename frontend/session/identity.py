"""Sign-in through the organisation's identity provider, by Streamlit's `st.login`, if one is set up.

The API accepts the provider's ID token, which is kept like a key. The provider authenticates a person; the API
decides what they may do.
"""

import os
import secrets
import time
from importlib.util import find_spec
from typing import Any

import streamlit as st

NEEDED = ("RLSD_OIDC_ISSUER", "RLSD_OIDC_AUDIENCE", "RLSD_OIDC_CLIENT_SECRET", "RLSD_UI_URL")


def is_configured() -> bool:
    """Report whether a provider is set up for this UI: only the UI needs the client secret."""
    return bool(os.environ.get("RLSD_OIDC_CLIENT_SECRET"))


def streamlit_secrets() -> dict[str, Any]:
    """Return the settings that `st.login` reads. Raises ValueError if some are set and others that they need are not.

    The cookie secret is new at each start of the UI, which signs everyone out in any case (`browser_sessions.py`).
    """
    if not is_configured():
        return {}
    missing = [name for name in NEEDED if not os.environ.get(name)]
    if missing:
        raise ValueError(f"RLSD_OIDC_CLIENT_SECRET is set, so the UI also needs {', '.join(missing)}.")
    if find_spec("authlib") is None:
        raise ValueError("RLSD_OIDC_CLIENT_SECRET is set, but a package is missing: run pip install '.[oidc]'.")
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


def signed_in() -> bool:
    """Report whether somebody has signed in at the provider, in this browser."""
    return is_configured() and bool(st.user.is_logged_in)


def id_token() -> str | None:
    """Return the ID token of the person signed in; None if it has expired."""
    if not signed_in() or float(str(st.user.get("exp", 0))) <= time.time():
        return None
    token: str | None = st.user.tokens.get("id")
    return token
