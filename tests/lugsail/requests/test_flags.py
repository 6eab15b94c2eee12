from __future__ import annotations

from lugsail.requests.flags import FLAGS, in_words, meaning
from sidecar.telemetry import response_flags


def test_every_flag_of_the_sidecar_is_explained() -> None:
    missing = {letters for letters, _ in response_flags.FLAGS.values()} - FLAGS.keys()
    assert not missing


def test_every_flag_has_a_meaning_a_cause_and_what_to_do() -> None:
    for flag, each in FLAGS.items():
        assert each.short and each.cause and each.next, flag
        assert len(each.short) < 45, flag


def test_in_words() -> None:
    assert in_words(()) == ""
    assert in_words(("UF", "URX")).startswith("UF could not connect to the upstream: the app is down")
    assert " · URX retries used up" in in_words(("UF", "URX"))
    assert "REGISTRY_ONLY" in in_words((), "BlackHoleCluster")
    assert "REGISTRY_ONLY" in in_words((), "", "block_all")


def test_a_flag_of_a_newer_envoy_is_no_error() -> None:
    assert meaning("XYZ").short == "unknown flag"
