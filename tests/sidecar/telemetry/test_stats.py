import pytest

from sidecar.telemetry.stats import DEFAULT_BUCKETS, Histogram, Stats


def test_the_same_name_and_labels_give_the_same_object() -> None:
    stats = Stats()
    labels = (("reporter", "source"),)
    assert stats.counter("a", labels) is stats.counter("a", labels)
    assert stats.counter("a", labels) is not stats.counter("a")
    assert stats.gauge("g") is stats.gauge("g")
    assert stats.histogram("h") is stats.histogram("h")


def test_what_goes_beyond_the_bound_is_counted_and_not_stored() -> None:
    stats = Stats(max_series=3)
    first = stats.counter("first")
    stats.gauge("second")
    surplus = stats.counter("third")
    surplus.value += 5
    assert surplus is stats.counter("fourth")
    assert len(stats) == 3
    assert stats.counter("server.stats_overflow").value == 2
    assert stats.counter("first") is first


def test_a_computed_gauge_is_read_when_asked_for() -> None:
    stats = Stats()
    now = 1.0
    stats.gauge_function("uptime", lambda: now)
    now = 7.0
    assert [(gauge.name, gauge.value) for gauge in stats.gauges()] == [("uptime", 7.0)]
    with pytest.raises(TypeError, match="computed"):
        stats.gauge("uptime")


def test_reset_counters_leaves_gauges_and_histograms() -> None:
    stats = Stats()
    stats.counter("c").value = 4
    stats.gauge("g").value = 4
    stats.histogram("h").record(4)
    stats.reset_counters()
    assert (stats.counter("c").value, stats.gauge("g").value, stats.histogram("h").count) == (0, 4, 1)


def test_forget_drops_everything_below_a_prefix() -> None:
    stats = Stats()
    stats.counter("cluster.a.rq")
    stats.gauge("cluster.a.cx")
    stats.histogram("cluster.a.time")
    stats.counter("cluster.ab.rq")
    stats.forget("cluster.a.")
    assert {metric.name for metric in (*stats.counters(), *stats.gauges(), *stats.histograms())} == {
        "cluster.ab.rq",
        "server.stats_overflow",
    }


@pytest.mark.parametrize(
    ("value", "bucket"), [(0, 0), (0.5, 0), (0.6, 1), (1, 1), (10, 3), (3600000, 18), (3600001, 19)]
)
def test_a_value_on_a_bound_belongs_to_that_bucket(value: float, bucket: int) -> None:
    histogram = Histogram("h")
    histogram.record(value)
    assert histogram.counts.index(1) == bucket
    assert histogram.sum == value


def test_quantiles_are_interpolated() -> None:
    histogram = Histogram("h", bounds=(10, 20, 40))
    assert histogram.quantile(0.5) is None
    for value in (1, 2, 12, 14):
        histogram.record(value)
    assert histogram.quantile(0.5) == 10
    assert histogram.quantile(0.75) == 15
    assert histogram.quantile(1) == 20
    histogram.record(99)
    assert histogram.quantile(1) == 40


def test_the_buckets_are_istios() -> None:
    assert DEFAULT_BUCKETS[:4] == (0.5, 1, 5, 10)
    assert DEFAULT_BUCKETS[-1] == 3600000
    assert len(DEFAULT_BUCKETS) == 19
