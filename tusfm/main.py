"""The command line: serve · worker · migrate · sweep · check."""

import argparse
import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from tusfm import __version__, logs
from tusfm.settings import BadSetting, Settings, described, load, unknown

LOCAL = {"127.0.0.1", "::1", "localhost"}
ENV_FILE = ".env"
FAILED = 1
MISUSED = 2

log = logging.getLogger("tusfm")


class Stop(Exception):
    """The command cannot go on; the text is one sentence."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; whatever goes wrong is a sentence on standard error and an exit status."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not _worker:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    options.celery = rest
    try:
        settings = _settings(options)
        options.run(settings, options)
    except (Stop, BadSetting) as error:
        print(f"tusfm: {error}", file=sys.stderr)
        sys.exit(MISUSED if isinstance(error, BadSetting) else FAILED)
    except KeyboardInterrupt:
        sys.exit(128 + signal.SIGINT)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tusfm", description="A server for resumable uploads (tus 1.0.0).")
    parser.add_argument("--version", action="version", version=f"tusfm {__version__}")
    parser.add_argument("--env-file", type=Path, help=f"read settings from this file (default: {ENV_FILE}, if it is there)")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    serve = commands.add_parser("serve", help="serve uploads over HTTP")
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    serve.add_argument("--port", type=_port, default=8000, help="port to listen on (default: %(default)s)")
    serve.add_argument("--workers", type=_workers, default=1, help="processes that share the port (default: 1)")
    serve.add_argument("--listen-fd", type=int, help=argparse.SUPPRESS)
    serve.set_defaults(run=_serve)
    worker = commands.add_parser(
        "worker",
        help="finalize uploads in the background, for RabbitMQ",
        epilog="Celery's own options are passed on: --concurrency, --queues, --loglevel, …",
    )
    worker.set_defaults(run=_worker)
    migrate = commands.add_parser("migrate", help="bring the database to the schema that this version needs")
    migrate.set_defaults(run=_migrate)
    sweep = commands.add_parser("sweep", help="free what expired, once and now")
    sweep.add_argument("--orphans", action="store_true", help="name files that no row knows; deletes nothing")
    sweep.set_defaults(run=_sweep)
    check = commands.add_parser("check", help="tell whether each backend can be reached and written to")
    check.add_argument("--settings", action="store_true", help="print every setting with its value, secrets hidden")
    check.set_defaults(run=_check)
    return parser


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


def _settings(options: argparse.Namespace) -> Settings:
    chosen = options.env_file or (Path(ENV_FILE) if Path(ENV_FILE).is_file() else None)
    settings = load(os.environ, chosen)
    logs.configure(settings.log_format, settings.log_level)
    for name in unknown(os.environ):
        log.warning("%s is no setting of this version; it is ignored", name)
    return settings


def _serve(settings: Settings, options: argparse.Namespace) -> None:
    if options.listen_fd is not None:
        _run(settings, socket.socket(fileno=options.listen_fd), announced=True)
        return
    listening = _listen(options.host, options.port)
    _prepare(settings)
    _announce(options, listening)
    if options.workers > 1:
        from tusfm.supervisor import Supervisor  # noqa: PLC0415  only a parent needs it

        Supervisor(listening, options.workers, settings.drain_timeout, options.env_file).run()
    else:
        _run(settings, listening)


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listening = socket.socket(family[0], socket.SOCK_STREAM)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(family[4])
        listening.listen(1024)
    except OSError as error:
        msg = f"Cannot listen on {host} port {port}: {error.strerror}."
        raise Stop(msg) from error
    return listening


def _prepare(settings: Settings) -> None:
    """Migrate the embedded stack's database: it is nobody else's."""
    from tusfm import wiring  # noqa: PLC0415  not needed for --help and --version

    try:
        if wiring.needs_migration(settings):
            log.info(wiring.migrate(settings))
    except wiring.Unusable as error:
        raise Stop(str(error)) from error


def _announce(options: argparse.Namespace, listening: socket.socket) -> None:
    host, port = listening.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    log.info("tusfm %s serves http://%s:%d", __version__, shown, port)
    if options.host not in LOCAL:
        log.warning("this address can be reached from other machines, and whoever reaches it may upload")


def _run(settings: Settings, listening: socket.socket, *, announced: bool = False) -> None:
    with contextlib.suppress(OSError, ValueError):  # each connection takes a descriptor, and shells allow few
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with contextlib.suppress(ImportError):
        import uvloop  # noqa: PLC0415  not on every platform

        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_serving(settings, listening, watched=announced))


async def _serving(settings: Settings, listening: socket.socket, *, watched: bool) -> None:
    from tusfm.app import build_app, error_headers  # noqa: PLC0415  a supervisor does without
    from tusfm.protocol.server import Runner  # noqa: PLC0415

    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stopped.set)
    if watched:  # standard input is the supervisor's pipe: it ends when the supervisor does
        loop.add_reader(sys.stdin.fileno(), _orphaned, loop, stopped)
    runner = Runner(build_app(settings), error_headers(settings))
    await runner.serve(listening)
    await stopped.wait()
    await runner.drain(settings.drain_timeout)


def _orphaned(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    loop.remove_reader(sys.stdin.fileno())
    stopped.set()


def _worker(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm import wiring, worker  # noqa: PLC0415  Celery is slow to load

    try:
        worker.run(settings, options.celery)
    except wiring.Unusable as error:
        raise Stop(str(error)) from error


def _migrate(settings: Settings, _: argparse.Namespace) -> None:
    from tusfm import wiring  # noqa: PLC0415  not needed for --help and --version

    try:
        print(wiring.migrate(settings))
    except wiring.Unusable as error:
        raise Stop(str(error)) from error


def _sweep(settings: Settings, options: argparse.Namespace) -> None:
    from tusfm import wiring  # noqa: PLC0415  not needed for --help and --version

    async def run() -> None:
        async for line in wiring.sweep(settings, orphans=options.orphans):
            print(line)

    try:
        asyncio.run(run())
    except wiring.Unusable as error:
        raise Stop(str(error)) from error


def _check(settings: Settings, options: argparse.Namespace) -> None:
    if options.settings:
        for name, value, meaning in described(settings):
            print(f"{name}={value}  # {meaning}")
        return
    from tusfm import wiring  # noqa: PLC0415  not needed for --settings

    async def run() -> bool:
        well = True
        async for label, trouble in wiring.check(settings):
            print(f"{label}: {'ok' if trouble is None else trouble}", flush=True)
            well = well and trouble is None
        return well

    try:
        if not asyncio.run(run()):
            sys.exit(FAILED)
    except wiring.Unusable as error:
        raise Stop(str(error)) from error
