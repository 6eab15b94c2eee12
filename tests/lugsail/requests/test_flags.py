from __future__ import annotations

from lugsail.requests.flags import FLAGS, is_blocked, meaning
from sidecar.telemetry import response_flags


def test_every_flag_of_the_sidecar_is_explained() -> None:
    missing = {letters for letters, _ in response_flags.FLAGS.values()} - FLAGS.keys()
    assert not missing


def test_every_flag_has_a_meaning_a_cause_and_what_to_do() -> None:
    for flag, each in FLAGS.items():
        assert each.short and each.cause and each.next, flag
        assert len(each.short) < 45, flag


def test_what_the_mesh_blocks_has_no_flag() -> None:
    assert is_blocked("BlackHoleCluster", "") and is_blocked("", "block_all")
    assert not is_blocked("outbound|80||a", "default")


def test_a_flag_of_a_newer_envoy_is_no_error() -> None:
    assert meaning("XYZ").short == "unknown flag"
