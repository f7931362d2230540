"""Reads metrics as Prometheus does."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

Key = tuple[str, frozenset[tuple[str, str]]]


def read_metrics(text: bytes) -> dict[Key, float]:
    """Each sample by its name and labels."""
    samples = [
        sample for family in text_string_to_metric_families(text.decode()) for sample in family.samples
    ]
    found = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
    assert len(found) == len(samples), "a sample is there twice"
    return found


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())
