"""Samples the models that Ollama has loaded: where they are, and how fast they generate against their usual."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobs.clients.errors import ClientError
from jobs.core.checks import sample
from jobs.core.model import Finding, Sample, Severity
from jobs.performance import series
from jobs.performance.sampling import families
from jobs.performance.sampling.families import figure_of, shown
from jobs.performance.sampling.part import Part, Probe
from jobs.performance.sampling.sampled import Gap
from jobs.performance.sampling.settings import SamplingSettings
from jobs.performance.series import Figure, Kind

if TYPE_CHECKING:
    from jobs.clients import Clients
    from jobs.clients.ollama import Loaded
    from jobs.core.ports import History

SECTION = "ollama_metrics"
FOREVER = -1
_MAX_MODELS = 50
_LEAST_STAY_SECONDS = 10.0
"""A model that is about to be unloaded is left alone: our request might come too late, and load it again."""
_FOREVER_SECONDS = 10 * 365 * 86400.0
_MARGIN_SECONDS = 2.0
_MAX_ERROR = 1000
LEAST_GPU_RATIO = 0.1
GPU_FALL = 0.5
_LEAST_GPU_COUNT = 3


@dataclass(frozen=True)
class Usual:
    """What a model usually does: the medians of its history, None where too little is known."""

    gpu_ratio: float | None = None
    tokens_per_second: float | None = None
    first_token_seconds: float | None = None


@dataclass(frozen=True)
class Seen:
    """A loaded model, what it usually does, and its last probe if there was one; a `fresh` one was made just now."""

    model: Loaded
    usual: Usual
    probe: Probe | None
    fresh: bool

    @property
    def name(self) -> str:
        """Its name as figures and metrics have it."""
        return shown(self.model.name)

    @property
    def error(self) -> str:
        """Why its last probe failed, if it did."""
        return self.probe.error if self.probe else ""


def usual(settings: SamplingSettings, history: History, now: datetime) -> dict[str, Usual]:
    """What every model usually does, by its name."""
    since = now - timedelta(days=settings.model_baseline_days)

    def medians(kind: Kind, least: int) -> dict[str, float]:
        known = history.summaries(f"{kind.series()}/", since, now)
        return {kind.labels(name)[0]: summary.p50 for name, summary in known.items() if summary.count >= least}

    gpu = medians(series.MODEL_GPU, _LEAST_GPU_COUNT)
    speed = medians(series.MODEL_SPEED, settings.min_model_probes)
    first = medians(series.MODEL_FIRST_TOKEN, settings.min_model_probes)
    names = gpu.keys() | speed.keys() | first.keys()
    return {name: Usual(gpu.get(name), speed.get(name), first.get(name)) for name in names}


def measure(
    settings: SamplingSettings,
    clients: Clients,
    probes: Mapping[str, Probe],
    usually: Mapping[str, Usual],
    now: datetime,
    *,
    may_probe: bool,
) -> Part:
    """All loaded models; those whose last probe is long enough ago generate a few tokens, the longest ago first.

    Raises Absent or ClientError as the client.
    """
    deadline = time.monotonic() + settings.sample_deadline_seconds - _MARGIN_SECONDS

    def look(model: Loaded) -> Seen:
        last, usual = probes.get(shown(model.name)), usually.get(shown(model.name), Usual())
        left = min(settings.model_probe_timeout_seconds, deadline - time.monotonic())
        due = is_due(model, last, settings.model_probe_interval_seconds, now)
        if not may_probe or not due or left <= 0:
            return Seen(model, usual, last if _still_counts(last, settings, now) else None, fresh=False)
        return Seen(model, usual, _probed(clients, model, now, left), fresh=True)

    loaded = {shown(model.name): model for model in clients.ollama.running() if model.name}
    longest_ago_first = sorted(loaded, key=lambda name: probes[name].at if name in probes else 0.0)
    seen = sorted((look(loaded[name]) for name in longest_ago_first[:_MAX_MODELS]), key=lambda one: one.name)
    return Part(
        figures=tuple(figure for one in seen for figure in model_figures(one)),
        samples=tuple(made for one in seen for made in model_samples(one)),
        gaps=tuple(Gap(f"model/{one.name}", one.error) for one in seen if one.error),
        findings=tuple(finding for one in seen for finding in model_findings(one, settings)),
        sections={SECTION: {"loaded": len(loaded), "models": {one.name: _section(one) for one in seen}}},
        probes={one.name: one.probe for one in seen if one.fresh and one.probe},
    )


def _still_counts(last: Probe | None, settings: SamplingSettings, now: datetime) -> bool:
    """Whether a probe says anything of now: one that was put off once does, one of yesterday does not."""
    return last is not None and 0 <= now.timestamp() - last.at <= 2 * settings.model_probe_interval_seconds


def is_due(model: Loaded, last: Probe | None, interval_seconds: float, now: datetime) -> bool:
    """Whether a model should generate now: it can, it stays, and it has not done so of late."""
    stays = stay_seconds(model, now)
    if not interval_seconds or not model.can_generate or (stays != FOREVER and stays < _LEAST_STAY_SECONDS):
        return False
    # A last time that lies ahead was written under another clock.
    return last is None or not 0 <= now.timestamp() - last.at < interval_seconds


def stay_seconds(model: Loaded, now: datetime) -> int:
    """For how long the server will keep it, in whole seconds, rounded down: then nothing prolongs its stay.

    FOREVER where it was loaded for good, which the server tells as a time in some centuries; 0 where it does not say.
    """
    if model.expires_at is None:
        return 0
    left = (model.expires_at - now).total_seconds()
    return FOREVER if left > _FOREVER_SECONDS else max(0, math.floor(left))


def _probed(clients: Clients, model: Loaded, now: datetime, timeout_seconds: float) -> Probe:
    """A probe that fails is made, too: a stuck server is not asked on and on."""
    try:
        made = clients.ollama.probe(model.name, stay_seconds(model, now), timeout_seconds)
    except ClientError as error:
        return Probe(now.timestamp(), error=str(error)[:_MAX_ERROR])
    return Probe(now.timestamp(), made.first_token_seconds, made.tokens_per_second)


def model_figures(seen: Seen) -> list[Figure]:
    """Where it is, and what a probe of this very moment measured: an older one is in the history already."""
    probe = seen.probe if seen.fresh else None
    values = {
        series.MODEL_GPU: seen.model.gpu_ratio,
        series.MODEL_BYTES: seen.model.bytes or None,
        series.MODEL_FIRST_TOKEN: probe.first_token_seconds if probe else None,
        series.MODEL_SPEED: probe.tokens_per_second if probe else None,
    }
    return [figure_of(kind, value, seen.name) for kind, value in values.items() if value is not None]


def model_samples(seen: Seen) -> list[Sample]:
    """Beside the figures: the last probe where it is not of now, and both against the usual."""
    probe, usual = seen.probe, seen.usual
    values = {
        families.GPU_USUAL: usual.gpu_ratio,
        families.SPEED_BASELINE: speed_ratio(seen),
        families.FIRST_TOKEN_BASELINE: first_token_ratio(seen),
    }
    if probe is not None:
        values[families.PROBE_SUCCESS] = float(not probe.error)
        if not seen.fresh:
            values[families.OF_KIND[series.MODEL_FIRST_TOKEN]] = probe.first_token_seconds
            values[families.OF_KIND[series.MODEL_SPEED]] = probe.tokens_per_second
    return [sample(family, value, model=seen.name) for family, value in values.items() if value is not None]


def speed_ratio(seen: Seen) -> float | None:
    """Tokens per second of the last probe against the usual."""
    return _ratio(seen.probe.tokens_per_second if seen.probe else None, seen.usual.tokens_per_second)


def first_token_ratio(seen: Seen) -> float | None:
    """Time to the first token of the last probe against the usual."""
    return _ratio(seen.probe.first_token_seconds if seen.probe else None, seen.usual.first_token_seconds)


def _ratio(now: float | None, usual: float | None) -> float | None:
    return now / usual if now is not None and usual else None


def fell_to_cpu(seen: Seen) -> bool:
    """Whether less than half of what usually is on the GPU still is; a model that never was there cannot fall."""
    now, usual = seen.model.gpu_ratio, seen.usual.gpu_ratio
    return now is not None and usual is not None and usual >= LEAST_GPU_RATIO and now < usual * GPU_FALL


def model_findings(seen: Seen, settings: SamplingSettings) -> list[Finding]:
    """What people should know: it fell to the CPU, it is silent, it is slow."""
    found: list[Finding] = []

    def note(kind: str, severity: Severity, message: str, remedy: str) -> None:
        subject = f"model/{seen.name}"
        found.append(Finding(kind=kind, subject=subject, severity=severity, message=message, remedy=remedy))

    speed, first = speed_ratio(seen), first_token_ratio(seen)
    if fell_to_cpu(seen):
        was, now = seen.usual.gpu_ratio or 0.0, seen.model.gpu_ratio or 0.0
        message = f"{seen.name} fell from the GPU: {now:.0%} of it is there, usually {was:.0%}"
        note("model_on_cpu", Severity.HIGH, message, "see what uses the GPU's memory (nvidia-smi), and Ollama's log")
    if seen.error:
        message = f"{seen.name} is loaded and does not generate: {seen.error}"
        note(
            "model_silent", Severity.HIGH, message, "restart Ollama; see its log and whether the model fits into memory"
        )
    if speed is not None and speed < settings.min_model_speed_ratio:
        message = f"{seen.name} generates {_speed(seen.probe)} tokens/s, {speed:.0%} of its usual"
        note("model_slow", Severity.MEDIUM, message, "see what else uses the GPU and the cores: nvidia-smi, top")
    if first is not None and first > settings.max_first_token_ratio:
        message = f"{seen.name} takes {_first(seen.probe):.2f} s to its first token, {first:.1f} times its usual"
        note(
            "model_first_token_slow",
            Severity.MEDIUM,
            message,
            "see how many requests wait for it, and what it competes with",
        )
    return found


def _speed(probe: Probe | None) -> str:
    return f"{probe.tokens_per_second or 0.0:.1f}" if probe else "?"


def _first(probe: Probe | None) -> float:
    return (probe.first_token_seconds or 0.0) if probe else 0.0


def _section(seen: Seen) -> dict[str, Any]:
    probe, expires = seen.probe, seen.model.expires_at
    return {
        "gpu_ratio": seen.model.gpu_ratio,
        "memory_bytes": seen.model.bytes,
        "expires_at": expires.isoformat(timespec="seconds") if expires else None,
        "can_generate": seen.model.can_generate,
        "probed_at": datetime.fromtimestamp(probe.at).astimezone().isoformat(timespec="seconds") if probe else None,
        "first_token_seconds": probe.first_token_seconds if probe else None,
        "tokens_per_second": probe.tokens_per_second if probe else None,
        "usual_gpu_ratio": seen.usual.gpu_ratio,
        "usual_first_token_seconds": seen.usual.first_token_seconds,
        "usual_tokens_per_second": seen.usual.tokens_per_second,
        "error": seen.error,
    }
