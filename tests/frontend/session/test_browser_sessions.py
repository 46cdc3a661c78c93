from frontend.session import browser_sessions
from frontend.session.browser_sessions import Sessions, cookie_of


def test_a_ticket_is_good_once() -> None:
    sessions = Sessions()
    session_id, ticket = sessions.open("rlsd-one")
    assert sessions.redeem(ticket) == session_id
    assert sessions.redeem(ticket) is None


def test_neither_ticket_nor_session_id_holds_the_key() -> None:
    session_id, ticket = Sessions().open("rlsd-secret")
    assert "secret" not in session_id + ticket
    assert session_id != ticket


def test_a_closed_session_opens_nothing() -> None:
    sessions = Sessions()
    session_id, _ = sessions.open("rlsd-one")
    assert sessions.key_of(session_id) == "rlsd-one"
    sessions.close(session_id)
    assert sessions.key_of(session_id) is None


def test_an_unknown_session_id_opens_nothing() -> None:
    assert Sessions().key_of("guessed") is None


def test_idle_sessions_and_old_tickets_end(monkeypatch) -> None:
    sessions = Sessions()
    session_id, ticket = sessions.open("rlsd-one")
    monkeypatch.setattr(browser_sessions, "IDLE_S", 0.0)
    monkeypatch.setattr(browser_sessions, "TICKET_S", 0.0)
    assert sessions.key_of(session_id) is None
    assert sessions.redeem(ticket) is None


def test_a_ticket_is_valid_until_it_is_used_or_too_old(monkeypatch) -> None:
    sessions = Sessions()
    _, ticket = sessions.open("rlsd-one")
    assert sessions.awaits(ticket)
    sessions.redeem(ticket)
    assert not sessions.awaits(ticket)
    assert not sessions.awaits("unknown")
    _, later = sessions.open("rlsd-one")
    monkeypatch.setattr(browser_sessions, "TICKET_S", 0.0)
    assert not sessions.awaits(later)


def test_two_workbenches_on_one_host_have_different_cookies() -> None:
    assert cookie_of("localhost:8501") == cookie_of("[::1]:8501") == "rlsd_session_8501"
    assert cookie_of("localhost:8502") == "rlsd_session_8502"
    assert cookie_of("workbench.example") == cookie_of("[::1]") == "rlsd_session"
