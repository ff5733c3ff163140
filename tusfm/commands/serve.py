"""`tusfm serve`: one process, or several that share a port."""

import argparse
import asyncio
import contextlib
import logging
import resource
import signal
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from tusfm import __version__
from tusfm.commands.outcome import Stop
from tusfm.logs import printable
from tusfm.ports.watching import Worker
from tusfm.settings import Settings

KEPT_BYTES = 32 * 1024 * 1024
"""Free memory that glibc does not give back to the kernel: what a body's pieces have left is there for the next ones."""

LOCAL = {"127.0.0.1", "::1", "localhost"}

log = logging.getLogger("tusfm")


def add(commands: Any) -> None:  # noqa: ANN401  argparse has no public name for it
    """Add the word to the command line."""
    serve = commands.add_parser("serve", help="serve uploads over HTTP")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    serve.add_argument("--workers", type=_workers, default=1, help="processes that share the port (default: 1)")
    serve.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)
    serve.add_argument("--place", type=int, help=argparse.SUPPRESS)
    serve.add_argument("--figures", type=Path, help=argparse.SUPPRESS)
    serve.set_defaults(run=run)


def _port(text: str) -> int:
    if not text.isdecimal() or int(text) > 65535:  # noqa: PLR2004  the largest port
        msg = "a port is a number from 0 to 65535"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def _workers(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 256:  # noqa: PLR2004  more would be a slip
        msg = "the number of workers is from 1 to 256"
        raise argparse.ArgumentTypeError(msg)
    return int(text)


def run(settings: Settings, options: argparse.Namespace) -> None:
    """Serve until a signal. Stop, Unusable."""
    if options.listen_fd is not None:
        worker = None if options.figures is None else Worker(options.place, options.figures)
        _run(settings, socket.socket(fileno=options.listen_fd), watched=True, worker=worker)
        return
    listening = _listen(options.host, options.port)
    _prepare(settings)
    _announce(settings, options, listening)
    if options.workers > 1:
        _supervise(settings, options, listening)
    else:
        _run(settings, listening)


def _supervise(settings: Settings, options: argparse.Namespace, listening: socket.socket) -> None:
    from tusfm.supervisor import Supervisor  # noqa: PLC0415  only a parent needs it

    with contextlib.ExitStack() as stack:
        figures = None
        if settings.metrics:
            try:
                figures = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="tusfm-")))
            except OSError as error:
                msg = f"The workers' figures need a temporary directory: {error.strerror}; set TMPDIR, or TUSFM_METRICS=off."
                raise Stop(msg) from error
        Supervisor(listening, options.workers, settings.drain_timeout, options.env_file, figures).run()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family[0], socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(family[4])
        listening.listen(1024)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "That is no host"
        msg = f"Cannot listen on {printable(host)} port {port}: {why}."
        raise Stop(msg) from error
    return listening


def _prepare(settings: Settings) -> None:
    """Migrate the embedded stack's database, which is nobody else's, and see that tokens can be verified. Unusable."""
    from tusfm import wiring, wiring_access, wiring_watching  # noqa: PLC0415  not needed for --help and --version

    if settings.auth == "jwt":
        wiring_access.signing_keys(settings)
    wiring_watching.require_tracing(settings)
    if wiring.needs_migration(settings):
        log.info(wiring.migrate(settings))


def _announce(settings: Settings, options: argparse.Namespace, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("tusfm %s serves http://%s:%d", __version__, shown, port)
    if options.host not in LOCAL and settings.auth == "none":
        log.warning("this address can be reached from other machines, and whoever reaches it may upload")
    if settings.jwt_jwks_url is not None and settings.jwt_audience is None:
        log.warning("TUSFM_JWT_AUDIENCE is not set: tokens that the same issuer made for other services are taken too")


def _run(settings: Settings, listening: socket.socket, *, watched: bool = False, worker: Worker | None = None) -> None:
    with contextlib.suppress(OSError, ValueError):  # each connection takes a descriptor, and shells allow few
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    bytes(KEPT_BYTES // 2)  # freed at once, it tells glibc to keep twice as much; memory that comes back costs a fault a page
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415  not on every platform

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serving(settings, listening, worker, watched=watched))


async def _serving(settings: Settings, listening: socket.socket, worker: Worker | None, *, watched: bool) -> None:
    from tusfm.app import build_app, error_headers  # noqa: PLC0415  a supervisor does without
    from tusfm.protocol.server import Runner  # noqa: PLC0415

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    if watched:  # standard input is the supervisor's pipe: it ends when the supervisor does
        loop.add_reader(sys.stdin.fileno(), _orphaned, loop, stopped)
    runner = Runner(build_app(settings, worker), error_headers(settings))
    await runner.serve(listening)
    await stopped.wait()
    await runner.drain(settings.drain_timeout)


def _orphaned(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    loop.remove_reader(sys.stdin.fileno())
    stopped.set()
