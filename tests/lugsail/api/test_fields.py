from pathlib import Path

from lugsail.api.fields import messages, render
from lugsail.api.kinds import KINDS

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "istio-fields.md"


def test_the_page_is_what_the_table_says() -> None:
    assert PAGE.read_text() == render(), "run: python -m lugsail.api.fields > docs/reference/istio-fields.md"


def test_a_message_lists_every_place_of_use() -> None:
    paths = {model.__name__: found for model, found in messages(KINDS["DestinationRule"]).items()}
    assert paths["TrafficPolicy"] == ["spec.trafficPolicy", "spec.subsets[].trafficPolicy"]
    assert len(paths["OutlierDetection"]) == 4


def test_reasons_and_replacements_are_shown() -> None:
    page = render()
    assert "| `mirrorPercent` | supported | deprecated: use `mirrorPercentage` |" in page
    assert "| `http2Error` | rejected | Istio does not implement it either |" in page
    assert "LEAST_CONN is deprecated: write LEAST_REQUEST" in page
    assert "| `proxyProtocol` | stock Envoy only | the Python sidecar refuses a cluster that has it |" in page
    assert "UPGRADE on the stock Envoy only: the Python sidecar speaks HTTP/1.1 only" in page
