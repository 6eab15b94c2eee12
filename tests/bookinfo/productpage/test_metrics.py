"""The product page's own metrics."""

from bookinfo.productpage.metrics import exposition


def test_one_line_per_service_and_status():
    lines = exposition({("reviews", 500): 2, ("details", 200): 1}).splitlines()
    assert lines[-2:] == [
        'bookinfo_upstream_requests_total{destination_app="details",response_code="200"} 1',
        'bookinfo_upstream_requests_total{destination_app="reviews",response_code="500"} 2',
    ]
