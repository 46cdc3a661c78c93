"""Telling an address that a user chose, and nothing else of the network that this process stands in.

The name is resolved once, and what was looked at is what is connected to, so that a name cannot come to mean another
machine in between. No proxy, no redirect; of the answer nothing is read but its head; all of it has one deadline.
Not covered: what listens on public addresses, and how long the system's resolver takes to give up.
"""

import asyncio
import socket
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

import httpx

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
CONNECT_S = 5.0
"""With one of several addresses, so that another can still be tried."""


def post(url: str, *, content: str, headers: Mapping[str, str], networks: Collection[Network], timeout_s: float) -> int:
    """The status of the answer. Only public addresses are told, and those of `networks`.

    Raises ValueError where there are none, TimeoutError, or OSError, httpx.HTTPError and httpx.InvalidURL.
    """

    async def within_deadline() -> int:
        async with asyncio.timeout(timeout_s):
            return await _post(httpx.URL(url), content=content, headers=headers, networks=networks)

    return asyncio.run(within_deadline())


def is_allowed(address: Address, *, networks: Collection[Network]) -> bool:
    """Whether it is public, or of one of the networks; an IPv4 address written as IPv6 is what it stands for."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    if any(address in network for network in networks):
        return True
    if isinstance(address, IPv6Address) and address.sixtofour is not None:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


async def _post(url: httpx.URL, *, content: str, headers: Mapping[str, str], networks: Collection[Network]) -> int:
    name = url.raw_host.decode()
    addresses = [address for address in await _resolved(name) if is_allowed(address, networks=networks)]
    if not addresses:
        raise ValueError(
            f"'{name}' has no public address, and none in a network that an administrator allows "
            "(RLSD_WEBHOOK_NETWORKS)."
        )
    headers = {**headers, "host": url.netloc.decode()}

    async def told(address: Address) -> int:
        request = client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=content,
            headers=headers,
            extensions={"sni_hostname": name},
        )
        answer = await client.send(request, stream=True)
        await answer.aclose()
        return answer.status_code

    patience = httpx.Timeout(None, connect=CONNECT_S)
    async with httpx.AsyncClient(verify=httpx.create_ssl_context(), trust_env=False, timeout=patience) as client:
        *others, last = addresses
        for address in others:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await told(address)
        return await told(last)


async def _resolved(name: str) -> Sequence[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
