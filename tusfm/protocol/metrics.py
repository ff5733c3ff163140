"""`/metrics`, and who may read it."""

from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

from aiohttp import hdrs, web

from tusfm.protocol.answers import sentence

Network = IPv4Network | IPv6Network
FORWARDED = (hdrs.FORWARDED, hdrs.VIA, "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP")
KIND = "text/plain; version=0.0.4; charset=utf-8"
REFUSED = "The figures are not for everybody; TUSFM_METRICS says who may read them."


def add_metrics(app: web.Application, page: Callable[[], Awaitable[bytes]], readers: Sequence[Network]) -> None:
    """Register the page for readers in these networks."""

    async def answer(request: web.Request) -> web.Response:
        if not may_read(request, readers):
            return sentence(403, REFUSED, {})
        return web.Response(body=await page(), headers={hdrs.CONTENT_TYPE: KIND})

    app.router.add_get("/metrics", answer, allow_head=False)


def may_read(request: web.Request, readers: Sequence[Network]) -> bool:
    """Tell by the connection, never by a header; what a proxy passed on comes from anywhere, and is refused."""
    if any(name in request.headers for name in FORWARDED):
        return False
    peer = request.transport.get_extra_info("peername") if request.transport else None
    if not isinstance(peer, tuple):
        return False
    address = ip_address(peer[0].partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in readers)
