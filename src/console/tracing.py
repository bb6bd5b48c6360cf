"""Traces by OpenTelemetry, from the request through the queue to each stage of the job: an extra,
on where OTEL_EXPORTER_OTLP_ENDPOINT (or ..._TRACES_ENDPOINT) says where spans go.

The context travels in the job's row as a `traceparent` (W3C Trace Context). Names and numbers are
in spans, neither prompts nor keys.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from src.core.errors import BadInputError

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
EXTRA = "pip install -r requirements-fleet.txt"
HEADER = "traceparent"


class _Tracing:
    """The tracer of this process; None where nothing is traced."""

    tracer: Any = None


def start_tracing(part: str) -> None:
    """Nothing where no endpoint is set, or where tracing began. part: "api" or "worker".

    Raises BadInputError where the packages are missing.
    """
    if _Tracing.tracer is not None or not any(map(os.environ.get, ENDPOINTS)):
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        raise BadInputError(f"{ENDPOINTS[0]} needs OpenTelemetry: {EXTRA}") from None
    provider = TracerProvider(resource=Resource.create({"service.name": f"newsreel-{part}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _Tracing.tracer = provider.get_tracer("newsreel")


@contextmanager
def span(name: str, parent: str | None = None, **told: str | int | float) -> Iterator[None]:
    """What lies in the body, as a span. parent: the traceparent of another process; None goes on
    with the span around. An error that leaves the body is noted by its class.
    """
    if _Tracing.tracer is None:
        yield
        return
    context = _context(parent) if parent else None
    with _Tracing.tracer.start_as_current_span(
        name, context, attributes=told, record_exception=False, set_status_on_exception=False
    ) as made:
        try:
            yield
        except BaseException as error:
            from opentelemetry.trace import StatusCode

            made.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def stage_spans(seconds: Mapping[str, float]) -> None:
    """Spans of stages that ended just now, one after the other, inside the span around."""
    if _Tracing.tracer is None:
        return
    begin = time.time_ns() - int(sum(seconds.values()) * 1e9)
    for name, lasted in seconds.items():
        made = _Tracing.tracer.start_span(name, start_time=begin)
        begin += int(lasted * 1e9)
        made.end(end_time=begin)


def traceparent() -> str | None:
    """Of the span around, for another process; None where nothing is traced."""
    if _Tracing.tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER)


def _context(parent: str) -> Any:
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({HEADER: parent})
