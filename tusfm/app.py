"""The aiohttp application: middlewares, routes, and what lives as long as it does."""

import asyncio
from collections.abc import AsyncIterator, Callable

from aiohttp import web

from compat_api import operations as files
from compat_api.router import FileApi
from tusfm import wiring_access
from tusfm.engine.upload_links import UploadLinks
from tusfm.ports.access import Authenticator
from tusfm.ports.watching import Worker
from tusfm.protocol.access import Access
from tusfm.protocol.answers import answering, common_headers, dress, sentence
from tusfm.protocol.documentation import Documentation
from tusfm.protocol.metrics import add_metrics
from tusfm.protocol.own_links import add_downloads
from tusfm.protocol.page import add_page
from tusfm.protocol.tus import operations as tus
from tusfm.protocol.tus.handlers import Tus
from tusfm.protocol.watching import Watching
from tusfm.protocol.web import Origins, Public
from tusfm.settings import Settings
from tusfm.wiring import Engine
from tusfm.wiring_watching import build_watched

ENGINE = web.AppKey("engine", Engine)


def build_app(settings: Settings, worker: Worker | None = None) -> web.Application:
    """Build the application; nothing is opened before it starts. *worker* None: the process has its port for itself."""
    engine = build_watched(settings, worker, figures=bool(settings.metrics))
    watching = Watching(engine.watch, lambda: (engine.budget.used, engine.budget.limit))
    app = web.Application(middlewares=[watching.middleware, answering], client_max_size=0)
    app[ENGINE] = engine
    app.on_response_prepare.append(dress(_origins(settings)))
    app.on_shutdown.append(_drain)
    app.cleanup_ctx.append(_life)
    app.cleanup_ctx.append(watching.running)
    authenticator = wiring_access.authenticator(settings, engine.metadata)
    if authenticator is not None:
        app.cleanup_ctx.append(_beside(authenticator))
    access = Access(authenticator, engine.uploads, UploadLinks(engine.metadata), backend_creates=settings.backend_creates)
    public = Public(settings.public_url, settings.behind_proxy)
    Tus(engine.uploads, public, access).add_routes(app.router)
    FileApi(engine.chunks, public, access if settings.legacy_auth else None).add_to(app)
    _documentation(engine).add_to(app)
    app.router.add_get("/healthz", _alive)
    app.router.add_get("/readyz", _ready)
    if engine.page is not None:
        add_metrics(app, watching.told(engine.page), settings.metrics)
    add_downloads(app, engine.chunks)
    add_page(app)
    return app


def error_headers(settings: Settings) -> dict[str, str]:
    """Return what an answer bears to a request that could not be parsed, so that nobody knows where it came from."""
    return common_headers(_origins(settings), None)


def _origins(settings: Settings) -> Origins:
    return Origins(None if settings.cors_origins is None else frozenset(settings.cors_origins))


def _documentation(engine: Engine) -> Documentation:
    return Documentation(
        about="A server for resumable uploads: large files, bad networks, nothing lost.",
        groups={tus.GROUP: tus.ABOUT, **files.GROUPS},
        operations=(*files.operations(engine.chunks.rules.chunk_size), *tus.OPERATIONS),
    )


async def _life(app: web.Application) -> AsyncIterator[None]:
    async with app[ENGINE].running():
        yield


def _beside(authenticator: Authenticator) -> Callable[[web.Application], AsyncIterator[None]]:
    """Let the authenticator work for as long as the application lives."""

    async def life(_: web.Application) -> AsyncIterator[None]:
        work = asyncio.create_task(authenticator.run())
        yield
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)

    return life


async def _drain(app: web.Application) -> None:
    app[ENGINE].drain()


async def _alive(_: web.Request) -> web.Response:
    """The process answers."""
    return web.Response(text="alive\n")


async def _ready(request: web.Request) -> web.Response:
    """The process is fit to serve; no more than what is its own counts (a database that is away is not)."""
    why_not = await request.app[ENGINE].why_not_ready()
    if why_not is None:
        return web.Response(text="ready\n")
    return sentence(503, why_not, {"Retry-After": "1"})
