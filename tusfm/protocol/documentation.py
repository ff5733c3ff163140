"""The documentation at `/docs`: aiohttp-apispec describes what the faces list, and its Swagger UI shows it."""

import asyncio
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from tusfm import __version__
from tusfm.protocol import assets
from tusfm.protocol.assets import Asset

if TYPE_CHECKING:
    from marshmallow import Schema

PATH = "/docs"
OURS = Path(__file__).parent.parent / "web" / "docs"
SPECIFICATION = "swagger.json"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self' 'unsafe-inline'",  # Swagger UI writes style attributes
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one URL: what aiohttp-apispec's `docs` takes, and the schema of its form if it has one."""

    method: str
    path: str
    described: Mapping[str, Any]
    form: "Schema | None" = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Documentation:
    """What the page shows: *groups* are names of tags with a sentence or two about each."""

    about: str
    groups: Mapping[str, str]
    operations: Sequence[Operation] = field(default=())

    def add_to(self, app: web.Application) -> None:
        """Register the page and its files."""
        made = cache(self._files)

        async def file(request: web.Request, name: str = "") -> web.Response:
            files = await asyncio.to_thread(made)  # it is a megabyte to pack, and other requests run
            name = request.match_info.get("name", name)
            if name not in files:
                raise web.HTTPNotFound
            headers = {hdrs.CACHE_CONTROL: assets.ASKED, "Content-Security-Policy": POLICY}
            return assets.answer(request, files[name], headers)

        app.router.add_get(PATH, partial(file, name="beside.html"))
        app.router.add_get(PATH + "/", partial(file, name="within.html"))
        app.router.add_get(PATH + "/{name}", file)

    def specification(self) -> dict[str, Any]:
        """Describe everything, as OpenAPI 2.0 has it."""
        from aiohttp_apispec import AiohttpApiSpec  # noqa: PLC0415  slow to load, and seldom needed

        catalogue = web.Application()
        for operation in self.operations:
            catalogue.router.add_route(operation.method, operation.path, _described(operation))
        tags = [{"name": name, "description": said} for name, said in self.groups.items()]
        with warnings.catch_warnings(action="ignore", category=web.NotAppKeyWarning):
            spec = AiohttpApiSpec(
                url=None,
                app=catalogue,
                in_place=True,
                title="tusfm",
                version=__version__,
                info={"description": self.about},
                tags=tags,
            )
        made: dict[str, Any] = spec.swagger_dict()
        return made

    def _files(self) -> dict[str, Asset]:
        import aiohttp_apispec  # noqa: PLC0415  slow to load, and seldom needed

        theirs = Path(aiohttp_apispec.__file__).parent / "static"
        index = (OURS / "index.html").read_text(encoding="utf-8")
        beside = index.replace("{files}", PATH[1:] + "/").replace("{beside}", "")
        within = index.replace("{files}", "").replace("{beside}", "../")
        return {
            **{name: assets.read(theirs / name) for name in ("swagger-ui.css", "swagger-ui-bundle.js")},
            **{name: assets.read(OURS / name) for name in ("docs.css", "docs.js")},
            **{name: assets.asset(name, text.encode()) for name, text in (("beside.html", beside), ("within.html", within))},
            SPECIFICATION: assets.asset(SPECIFICATION, json.dumps(self.specification(), ensure_ascii=False).encode()),
        }


def _described(operation: Operation) -> Any:  # noqa: ANN401  aiohttp-apispec has no types
    """Make a handler that bears what is said of an operation; it is there to be read, and never called."""
    from aiohttp_apispec import docs, form_schema  # noqa: PLC0415  slow to load, and seldom needed

    async def handler(_: web.Request) -> web.Response:
        raise web.HTTPNotImplemented

    described = docs(**operation.described)(handler)
    return described if operation.form is None else form_schema(operation.form)(described)
