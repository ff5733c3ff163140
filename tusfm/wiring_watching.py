"""Who is told of the work: Prometheus, a collector of OpenTelemetry, both, or nobody."""

import secrets
from importlib.util import find_spec

from tusfm.ports.watching import UNWATCHED, Watch, Worker
from tusfm.settings import Settings, Unusable
from tusfm.wiring import Engine, assemble, build, database_url, quotas, storage


def build_watched(settings: Settings, worker: Worker | None = None, *, figures: bool) -> Engine:
    """Put an engine together that tells of its work.

    *figures* says whether Prometheus may read them, *worker* which of several processes of one page this is.
    """
    watch: Watch = UNWATCHED
    if figures:
        from tusfm.adapters.metrics import Metrics, Page  # noqa: PLC0415  slow to load, and not always needed

        watch = metrics = Metrics(worker)
    if settings.otel_endpoint is not None:
        from tusfm.adapters.tracing import Traced, collector  # noqa: PLC0415  the same, and not everybody has it

        watch = Traced(watch, collector(settings.otel_endpoint))
    if watch is UNWATCHED:
        return build(settings)
    from tusfm.adapters.metadata_watched import WatchedMetadata  # noqa: PLC0415  commands do without

    process = secrets.token_hex(8)
    metadata = WatchedMetadata(database_url(settings), process, settings.mysql_pool, watch, quotas(settings))
    engine = assemble(settings, process, metadata, storage(settings, watch=watch), watch)
    if figures:
        engine.page = Page(metrics, metadata).text
    return engine


def require_tracing(settings: Settings) -> None:
    """See that spans can be sent, where that is asked for. Unusable, where what it needs is not installed."""
    if settings.otel_endpoint is not None and find_spec("opentelemetry") is None:
        msg = "OTEL_EXPORTER_OTLP_ENDPOINT needs OpenTelemetry; install it by pip install 'tusfm[otel]'."
        raise Unusable(msg)
