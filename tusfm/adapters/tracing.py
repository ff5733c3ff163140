"""Spans for OpenTelemetry: a request with the steps that it caused, sent to a collector by OTLP over HTTP."""

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from tusfm import __version__
from tusfm.ports.watching import Exchange, Step, Watch

SERVER_ERROR = 500


def collector(endpoint: str) -> trace.Tracer:
    """Begin to send spans to a collector; what else can be set, OpenTelemetry reads from its own `OTEL_…` variables."""
    for name in ("opentelemetry.exporter", "opentelemetry.sdk"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # a collector that is away is no trouble of ours
    resource = Resource.create({"service.name": "tusfm", "service.version": __version__})
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint}/v1/traces")))
    return provider.get_tracer("tusfm", __version__)


class Traced:
    """Implements ports.watching.Watch around another one: each context of that is a span, too."""

    def __init__(self, watch: Watch, tracer: trace.Tracer) -> None:
        """Take the other one, and what makes spans."""
        self._tracer = tracer
        self._watch = watch
        self.received = watch.received
        self.stored = watch.stored
        self.happened = watch.happened
        self.waited = watch.waited
        self.swept = watch.swept
        self.stands = watch.stands

    @contextmanager
    def exchange(self, exchange: Exchange) -> Iterator[None]:
        """Span a request, under the client's own span if it names one."""
        parent = TraceContextTextMapPropagator().extract(exchange.headers)
        about = {"http.request.method": exchange.method, "http.route": exchange.route}
        name = f"{exchange.method} {exchange.route}"
        with (
            self._tracer.start_as_current_span(name, parent, SpanKind.SERVER, attributes=about) as span,
            self._watch.exchange(exchange),
        ):
            try:
                yield
            finally:
                span.set_attribute("http.response.status_code", exchange.status)
                if exchange.status >= SERVER_ERROR:
                    span.set_status(trace.StatusCode.ERROR)

    @contextmanager
    def step(self, step: Step) -> Iterator[None]:
        """Span a step."""
        name = f"{step.kind.value} {step.name}"
        with self._spanned(name) as span, self._watch.step(step):
            try:
                yield
            finally:
                span.set_attribute("tusfm.outcome", step.outcome)

    def _spanned(self, name: str) -> AbstractContextManager[trace.Span]:
        """Begin a span that keeps what is raised to itself: a message may hold what is not the collector's."""
        return self._tracer.start_as_current_span(name, record_exception=False)
