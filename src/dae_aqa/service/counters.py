"""What the service tells Prometheus of itself."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_CLIPS = (1, 2, 4, 8, 16)


class Counters:
    """The figures of one service, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.answers = Counter(
            "dae_aqa_answers", "Answers", ["path", "status"], registry=self._registry
        )
        self.decode_seconds = Histogram(
            "dae_aqa_decode_seconds",
            "Decoding of a clip, with the wait for a worker",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.network_seconds = Histogram(
            "dae_aqa_network_seconds",
            "A pass of the network over the clips that waited",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.batch_clips = Histogram(
            "dae_aqa_batch_clips", "Clips of a pass", buckets=_CLIPS, registry=self._registry
        )
        self._in_flight = Gauge(
            "dae_aqa_requests_in_flight", "Requests being worked on", registry=self._registry
        )

    def watch_in_flight(self, count: Callable[[], int]) -> None:
        """Let `count` tell how many requests are being worked on."""
        self._in_flight.set_function(count)

    def on_batch(self, num_clips: int, seconds: float) -> None:
        """Note a pass of the network."""
        self.batch_clips.observe(num_clips)
        self.network_seconds.observe(seconds)

    def on_answer(self, path: str, status: int) -> None:
        """Note an answer; of paths that the service does not know there may be any number."""
        known = path if status != 404 else "other"
        self.answers.labels(known, str(status)).inc()

    def text(self) -> bytes:
        """Return all figures in Prometheus' text format."""
        return generate_latest(self._registry)
