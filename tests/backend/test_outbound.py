"""Requests to URLs chosen by users: which addresses may be reached, and how much of the response is read."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from backend import outbound

LOOPBACK = [ip_network("127.0.0.1/32")]
BODY = "{}"


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert outbound.is_allowed(ip_address(address), networks=[])


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
        "fd00:ec2::254",
        "fe80::1",
        "100.100.100.200",
        "127.0.0.1",
        "::1",
        "::ffff:127.0.0.1",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "0.0.0.0",
        "::",
        "224.0.0.1",
        "ff02::1",
        "255.255.255.255",
    ],
)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not outbound.is_allowed(ip_address(address), networks=[])


def test_networks_that_an_administrator_allows_are_reached_too() -> None:
    networks = [ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")]
    assert outbound.is_allowed(ip_address("10.1.2.3"), networks=networks)
    assert outbound.is_allowed(ip_address("::ffff:10.1.2.3"), networks=networks)
    assert outbound.is_allowed(ip_address("fd00:1::5"), networks=networks)
    assert not outbound.is_allowed(ip_address("10.2.0.1"), networks=networks)


def whole_request(connection: socket.socket) -> str:
    """Read a request to its end: closing a connection with unread bytes resets it, and the response may be lost."""
    request = b""
    while not request.endswith(BODY.encode()) and (more := connection.recv(65536)):
        request += more
    return request.decode()


@contextmanager
def answering(answer: Callable[[socket.socket], Any], *, context: ssl.SSLContext | None = None) -> Iterator[Any]:
    """Run a server for one connection, which calls `answer`; yields its port and the list of requests received."""
    received: list[str] = []

    def serve() -> None:
        with listening, listening.accept()[0] as plain:
            try:
                with plain if context is None else context.wrap_socket(plain, server_side=True) as connection:
                    received.append(whole_request(connection))
                    answer(connection)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1], received
        thread.join(20)


def ok(connection: socket.socket) -> None:
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")


def post(url: str, *, timeout_s: float = 15) -> int:
    return outbound.post(url, content=BODY, headers={"x": "y"}, networks=LOOPBACK, timeout_s=timeout_s)


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names that were resolved; from the second time on, a name resolves to another address."""
    resolved: list[str] = []

    def look_up(name: str, *_: object) -> list[Any]:
        resolved.append(name)
        address = "127.0.0.1" if len(resolved) == 1 else "127.0.0.66"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return resolved


def test_the_address_that_was_checked_is_connected_to(resolver: list[str]) -> None:
    with answering(ok) as (port, received):
        assert post(f"http://hooks.example:{port}/x?y=1") == 200
    assert resolver == ["hooks.example"]
    assert received[0].startswith("POST /x?y=1 HTTP/1.1\r\n")
    assert f"\r\nhost: hooks.example:{port}\r\n" in received[0].lower()


def test_a_name_that_resolves_to_a_forbidden_address_is_not_connected_to(resolver: list[str]) -> None:
    resolver.append("before")
    with pytest.raises(ValueError, match=r"'hooks.example' has no public address.*RLSD_WEBHOOK_NETWORKS"):
        post("http://hooks.example:9/")


def test_the_certificate_must_match_the_name(
    resolver: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context, authority = certified("hooks.example", folder=tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority))
    with answering(ok, context=context) as (port, _):
        assert post(f"https://hooks.example:{port}/") == 200
    resolver.clear()
    with answering(ok, context=context) as (port, _), pytest.raises(httpx.ConnectError, match=r"other\.example"):
        post(f"https://other.example:{port}/")


def test_no_proxy_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with answering(ok) as (port, _):
        assert post(f"http://127.0.0.1:{port}/") == 200


def test_a_redirect_is_not_followed() -> None:
    with answering(lambda it: it.sendall(b"HTTP/1.1 307 x\r\nlocation: http://127.0.0.1:9/\r\n\r\n")) as (port, _):
        assert post(f"http://127.0.0.1:{port}/") == 307


def test_an_endless_response_is_not_read() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(1 << 20))

    with answering(flood) as (port, _):
        assert post(f"http://127.0.0.1:{port}/") == 200


def test_a_response_sent_byte_by_byte_has_the_same_deadline() -> None:
    done = threading.Event()

    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
        while not done.wait(0.05):
            connection.sendall(b"a")

    with answering(drip) as (port, _):
        with pytest.raises(TimeoutError):
            post(f"http://127.0.0.1:{port}/", timeout_s=0.5)
        done.set()


def test_another_address_of_the_name_is_tried_if_one_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    networks = [*LOOPBACK, ip_network("127.0.0.2/32")]
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, 0)) for host in ("127.0.0.2", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with answering(ok) as (port, _):
        url = f"http://hooks.example:{port}/"
        assert outbound.post(url, content=BODY, headers={}, networks=networks, timeout_s=15) == 200


def certified(name: str, *, folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Return a server context with a certificate for the name, and the file of that certificate to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file, key_file = folder / "certificate.pem", folder / "key.pem"
    file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, key_file)
    return context, file
