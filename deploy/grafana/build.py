"""The dashboards, written as code: python -m deploy.grafana.build writes their JSON beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    LegendDisplayMode,
    LegendPlacement,
    TimeZoneBrowser,
)
from grafana_foundation_sdk.models.dashboard import DataSourceRef

FOLDER = Path(__file__).parent
SOURCE = "${source}"
QUANTILES = (0.5, 0.95)


@dataclass(frozen=True)
class Plot:
    """A panel: its title, the unit as Grafana names it, and (expression, legend) of each line.

    now: the last values, large, in place of a curve.
    """

    title: str
    unit: str
    lines: tuple[tuple[str, str], ...]
    now: bool = False


def _quantiles(metric: str, by: str) -> tuple[tuple[str, str], ...]:
    each = f"max by (le, {by}) (rate({metric}_bucket[$__rate_interval]))"
    return tuple((f"histogram_quantile({q}, {each})", f"{{{{{by}}}}} {q:.0%}") for q in QUANTILES)


ENDED = "max by (kind, state) (rate(newsreel_jobs_finished_total[$__rate_interval]))"
DESK = (
    Plot("Waiting", "none", (('max(newsreel_queue_jobs{state="PENDING"})', "jobs"),), now=True),
    Plot("Running", "none", (('max(newsreel_queue_jobs{state="PROCESSING"})', "jobs"),), now=True),
    Plot("Workers", "none", (("max by (device) (newsreel_workers)", "{{device}}"),), now=True),
    Plot("Free disk", "bytes", (("min(newsreel_disk_free_bytes)", "home"),), now=True),
    Plot("Oldest job that waits", "s", (
        ("max by (priority) (newsreel_queue_waiting_seconds)", "{{priority}}"),)),
    Plot("Jobs that ended, a second", "short", ((ENDED, "{{kind}} {{state}}"),)),
    Plot("Failures in an hour, by error", "none", (
        ("max by (error) (increase(newsreel_job_failures_total[1h]))", "{{error}}"),)),
    Plot("From submission to the end", "s", _quantiles("newsreel_job_seconds", "kind")),
    Plot("Answers of the API", "s", _quantiles("newsreel_http_seconds", "method")),
    Plot("Answers that were refused, a second", "short", (
        ('sum by (status) (rate(newsreel_http_seconds_count{status=~"[45].."}[$__rate_interval]))',
         "{{status}}"),)),
)  # fmt: skip
MACHINES = (
    Plot("GPU busy", "percentunit", (
        ("max by (worker) (newsreel_gpu_busy_ratio)", "{{worker}}"),)),
    Plot("GPU memory taken", "percentunit", (
        ("max by (worker) (newsreel_gpu_memory_used_bytes / newsreel_gpu_memory_bytes)",
         "{{worker}}"),)),
    Plot("GPU temperature", "celsius", (
        ("max by (worker) (newsreel_gpu_celsius)", "{{worker}}"),)),
    Plot("Since a worker told something", "s", (
        ("max by (worker) (newsreel_worker_silent_seconds)", "{{worker}}"),)),
    Plot("Stages of a job", "s", _quantiles("newsreel_stage_seconds", "stage")),
    Plot("Frames a second, last job", "short", (
        ("max by (kind) (newsreel_frames_per_second)", "{{kind}}"),)),
    Plot("Memory", "bytes", (("max by (of) (newsreel_memory_bytes)", "{{of}}"),)),
    Plot("Files that nobody names", "none", (("max(newsreel_quarantined_files)", "files"),)),
)  # fmt: skip
DASHBOARDS = {"newsreel-desk": ("Newsreel: the desk", DESK),
              "newsreel-machines": ("Newsreel: machines", MACHINES)}  # fmt: skip


def built(uid: str) -> str:
    """The JSON of a dashboard."""
    title, plots = DASHBOARDS[uid]
    source = dashboard.DatasourceVariable("source").label("Prometheus").type("prometheus")
    made = dashboard.Dashboard(title).uid(uid).tags(["newsreel"]).refresh("30s")
    made = made.time("now-6h", "now").timezone(TimeZoneBrowser).with_variable(source)
    for plot in plots:
        made = made.with_panel(_panel(plot))
    return JSONEncoder(sort_keys=True, indent=1).encode(made.build()) + "\n"


def _panel(plot: Plot) -> stat.Panel | timeseries.Panel:
    kind = stat.Panel().graph_mode(BigValueGraphMode.AREA) if plot.now else _curve()
    panel = kind.title(plot.title).unit(plot.unit)
    panel = panel.datasource(_source()).height(4 if plot.now else 8).span(6 if plot.now else 12)
    for number, (expression, legend) in enumerate(plot.lines):
        query = prometheus.Dataquery().expr(expression).legend_format(legend)
        # without a name and a source of its own Grafana shows nothing
        panel = panel.with_target(query.ref_id(chr(ord("A") + number)).datasource(_source()))
    return panel


def _curve() -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True).placement(LegendPlacement.BOTTOM)
    return timeseries.Panel().legend(legend.display_mode(LegendDisplayMode.LIST))


def _source() -> DataSourceRef:
    return DataSourceRef(type_val="prometheus", uid=SOURCE)


if __name__ == "__main__":
    for uid in DASHBOARDS:
        (FOLDER / f"{uid}.json").write_text(built(uid), "utf-8")
