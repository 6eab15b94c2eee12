"""What people are told of containers that run."""

from controlplane.injector.running import describe
from tests.controlplane.injector.worlds import seen, sidecar_of, world

ASKS = {"lugsail.io/inject": "true"}


def test_each_workload_with_the_reason() -> None:
    web, late, pod = seen("web", ASKS), seen("late", ASKS), seen("a-pod", {"lugsail.io/role": "pod"})
    proxy = seen("a-proxy", {"lugsail.io/role": "proxy"}, mode="container:id-a-pod", networks={})
    app = seen("a", {"lugsail.io/role": "app"}, mode="container:id-a-pod", networks={})
    no = seen("no", {"sidecar.istio.io/inject": "false"})
    control_plane = seen("cp", {"lugsail.io/role": "control-plane"})
    everyone = world(web, late, pod, proxy, app, no, control_plane, seen("stranger"), sidecar_of(web))
    found = {name: (injected, reason) for name, injected, reason in describe(everyone)}
    assert found == {
        "a-pod": (True, "its sidecar is container a-proxy"),
        "late": (
            False,
            "label lugsail.io/inject=true, but it has none yet; "
            "is there a control plane with --inject, and what does its log say?",
        ),
        "no": (False, "it says so: label sidecar.istio.io/inject=false"),
        "web": (True, "its sidecar is container web-proxy (automatic)"),
    }


def test_named_containers_are_described_whatever_they_are() -> None:
    pod = seen("a-pod", {"lugsail.io/role": "pod"})
    app = seen("a", {"lugsail.io/role": "app"}, mode="container:id-a-pod", networks={})
    everyone = world(pod, app, seen("stranger"), seen("off", ASKS, status="exited"))
    found = {name: (injected, reason) for name, injected, reason in describe(everyone, ["a-pod", "stranger", "off"])}
    assert found["a-pod"] == (False, "it is a pod whose sidecar does not run: see `docker compose ps -a`")
    assert found["stranger"] == (False, "nothing asks for one; label lugsail.io/inject=true would")
    assert found["off"] == (False, "label lugsail.io/inject=true, but it does not run")
