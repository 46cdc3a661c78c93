"""HTTP POST to a URL chosen by a user, without giving access to the internal network (SSRF protection).

The name is resolved once, and the address that was checked is the one connected to, so that a name cannot change its
target in between. No proxy, no redirects; only the response's head is read; one deadline covers everything.
Not covered: what listens on public addresses, and how long the system's resolver takes to time out.
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
"""Timeout for connecting to one address, so that another can still be tried."""


def post(url: str, *, content: str, headers: Mapping[str, str], networks: Collection[Network], timeout_s: float) -> int:
    """Send the request and return the response status. Only public addresses and those in `networks` are contacted.

    Raises ValueError if the name has none, TimeoutError, OSError, httpx.HTTPError or httpx.InvalidURL.
    """

    async def within_deadline() -> int:
        async with asyncio.timeout(timeout_s):
            return await _post(httpx.URL(url), content=content, headers=headers, networks=networks)

    return asyncio.run(within_deadline())


def is_allowed(address: Address, *, networks: Collection[Network]) -> bool:
    """Return whether an address is public or in one of the networks; IPv4-mapped IPv6 counts as the IPv4 address."""
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
            f"'{name}' has no public address, and no address in a network that the administrator allows "
            "(RLSD_WEBHOOK_NETWORKS)."
        )
    headers = {**headers, "host": url.netloc.decode()}

    async def send_to(address: Address) -> int:
        request = client.build_request(
            "POST",
            url.copy_with(host=str(address)),
            content=content,
            headers=headers,
            extensions={"sni_hostname": name},
        )
        response = await client.send(request, stream=True)
        await response.aclose()
        return response.status_code

    timeout = httpx.Timeout(None, connect=CONNECT_S)
    async with httpx.AsyncClient(verify=httpx.create_ssl_context(), trust_env=False, timeout=timeout) as client:
        *others, last = addresses
        for address in others:
            with suppress(httpx.ConnectError, httpx.ConnectTimeout):
                return await send_to(address)
        return await send_to(last)


async def _resolved(name: str) -> Sequence[Address]:
    found = await asyncio.get_running_loop().getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return [ip_address(str(address[0]).partition("%")[0]) for *_, address in found]
