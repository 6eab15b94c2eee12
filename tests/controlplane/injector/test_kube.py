"""Sidecars in Kubernetes manifests: what is put in, what is left alone, and what an API server would say."""

import json
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from controlplane.injector.annotations import BadAnnotation
from controlplane.injector.kube import KubeOptions, Outcome, inject_documents
from controlplane.injector.kube_fields import BadWorkload
from controlplane.injector.kube_text import split_documents

SAMPLES = Path(__file__).parents[2] / "testdata" / "kubernetes"
OLDEST, NEWEST = "1.28", "1.33"


def injected(text: str, **options: Any) -> tuple[str, list[Outcome]]:
    return inject_documents(split_documents(text, "app.yaml"), KubeOptions(**options))


def sample(name: str) -> str:
    return (SAMPLES / f"{name}.yaml").read_text(encoding="utf-8")


def documents(text: str) -> dict[str, dict[str, Any]]:
    """kind/name → object, lists unpacked."""
    found = {}
    for document in yaml.safe_load_all(text):
        for item in document["items"] if document["kind"] == "List" else [document]:
            found[f"{item['kind']}/{item['metadata']['name']}"] = item
    return found


def pod_of(item: dict[str, Any]) -> dict[str, Any]:
    if item["kind"] == "Pod":
        return item
    spec = item["spec"]["jobTemplate"]["spec"] if item["kind"] == "CronJob" else item["spec"]
    return dict(spec["template"])


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    everyone = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
    return next(one for one in everyone if one["name"] == name)


def flag(words: list[str], name: str) -> str:
    return words[words.index(name) + 1]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", ["bookinfo", "kinds"])
def test_the_output_is_what_the_official_schemas_allow(name: str, version: str) -> None:
    text, outcomes = injected(sample(name))
    assert all(outcome.injected for outcome in outcomes)
    for item in documents(text).values():
        kubernetes_validate.validate(item, version, strict=True)


def test_the_schemas_find_what_is_wrong() -> None:
    text, _ = injected(sample("bookinfo"))
    item = documents(text)["Deployment/reviews-v1"]
    container(pod_of(item), "istio-proxy")["ports"][0]["containerPort"] = "15090"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(item, NEWEST, strict=True)


@pytest.mark.parametrize("name", ["bookinfo", "kinds", "left-alone"])
def test_injecting_twice_changes_nothing(name: str) -> None:
    once, _ = injected(sample(name))
    twice, outcomes = injected(once)
    assert twice == once
    assert not any(outcome.injected for outcome in outcomes)


def test_every_kind_gets_its_sidecar() -> None:
    text, _ = injected(sample("kinds"))
    found = documents(text)
    assert list(found) == [
        *("StatefulSet/database", "DaemonSet/collector", "ReplicaSet/web", "Job/import", "CronJob/nightly"),
        *("Pod/shell", "Service/listed", "Deployment/listed"),
    ]
    for key, item in found.items():
        if key != "Service/listed":
            assert "istio-proxy" in [one["name"] for one in pod_of(item)["spec"]["containers"]], key


def test_what_is_no_workload_is_passed_on_byte_for_byte() -> None:
    text, _ = injected(sample("bookinfo"))
    before = sample("bookinfo").split("---\n")
    after = text.split("---\n")
    assert (after[0], after[2]) == (before[0], before[2])
    assert "# a comment that stays" in after[0]
    assert after[1].startswith("# The workload, version 1.\napiVersion: apps/v1\nkind: Deployment\n")


def test_values_survive_yaml_of_every_version() -> None:
    text, _ = injected(sample("bookinfo"))
    pod = pod_of(documents(text)["Deployment/reviews-v1"])
    app = container(pod, "reviews")
    assert app["args"] == ["--since", "2020-01-01", "--factor", "1e3", "--flag", "y", "--mode", "0644"]
    assert "- '1e3'\n" in text
    assert "- 'y'\n" in text
    assert "value: |\n" in text
    assert app["env"][0]["value"] == "first line\nsecond line\n"
    assert pod["spec"]["volumes"][0]["configMap"]["defaultMode"] == 0o644


def test_left_alone_byte_for_byte_with_the_reason() -> None:
    text, outcomes = injected(sample("left-alone"))
    assert text == sample("left-alone")
    reasons = {outcome.name: outcome.reason for outcome in outcomes}
    assert reasons["node-agent"].startswith("hostNetwork: true")
    assert reasons["not-me"] == reasons["label-counts"] == 'it says sidecar.istio.io/inject: "false"'
    assert reasons["injected-by-hand"] == "it has a sidecar: container istio-proxy"
    assert reasons["dns"] == "the namespace kube-system belongs to the cluster"
    assert "other-peoples-job" not in reasons
    assert [outcome.name for outcome in outcomes if outcome.already] == ["injected-by-hand"]
    assert outcomes[0].where == "app.yaml: document 1: Pod default/node-agent"


def test_the_init_container() -> None:
    text, _ = injected(sample("bookinfo"))
    spec = pod_of(documents(text)["Deployment/reviews-v1"])["spec"]
    assert [one["name"] for one in spec["initContainers"]] == ["migrate", "istio-init"]
    init = spec["initContainers"][1]
    assert init["image"] == "lugsail/planes"
    assert init["command"] == ["python", "-m", "sidecar.agent.interception"]
    assert flag(init["args"], "-o") == "3306,27017"
    assert "--redirect-dns" not in init["args"]
    security = init["securityContext"]
    assert security["capabilities"] == {"add": ["NET_ADMIN", "NET_RAW"], "drop": ["ALL"]}
    assert (security["runAsUser"], security["allowPrivilegeEscalation"]) == (0, False)


def test_the_sidecar() -> None:
    text, _ = injected(sample("bookinfo"), discovery="mesh.example:15010")
    pod = pod_of(documents(text)["Deployment/reviews-v1"])
    assert [one["name"] for one in pod["spec"]["containers"]] == ["reviews", "helper", "istio-proxy"]
    proxy = container(pod, "istio-proxy")
    assert proxy["command"] == ["python", "-m", "sidecar"]
    assert flag(proxy["args"], "--workload") == "$(POD_NAME)"
    assert flag(proxy["args"], "--labels") == "app=reviews,version=v1"
    assert flag(proxy["args"], "--discovery") == "mesh.example:15010"
    security = proxy["securityContext"]
    assert (security["runAsUser"], security["runAsGroup"], security["readOnlyRootFilesystem"]) == (1337, 1337, True)
    assert proxy["readinessProbe"]["httpGet"] == {"path": "/healthz/ready", "port": 15021}
    assert proxy["ports"] == [{"containerPort": 15090, "name": "http-envoy-prom", "protocol": "TCP"}]
    paths = {one["name"]: one["valueFrom"]["fieldRef"]["fieldPath"] for one in proxy["env"] if "valueFrom" in one}
    assert paths["INSTANCE_IP"] == "status.podIP"
    # The state folder is the one place that may be written.
    assert flag(proxy["args"], "--state-dir").startswith(proxy["volumeMounts"][0]["mountPath"])
    assert "lifecycle" not in proxy


def test_labels_annotations_and_metrics_of_the_app() -> None:
    text, _ = injected(sample("bookinfo"))
    pod = pod_of(documents(text)["Deployment/reviews-v1"])
    labels, annotations = pod["metadata"]["labels"], pod["metadata"]["annotations"]
    assert labels["security.istio.io/tlsMode"] == "istio"
    assert labels["service.istio.io/canonical-name"] == "reviews"
    assert labels["service.istio.io/canonical-revision"] == "v1"
    assert annotations["prometheus.io/port"] == "15020"
    assert annotations["prometheus.io/path"] == "/stats/prometheus"
    assert annotations["kubectl.kubernetes.io/default-container"] == "reviews"
    status = json.loads(annotations["sidecar.istio.io/status"])
    assert (status["initContainers"], status["containers"]) == (["istio-init"], ["istio-proxy"])
    environment = {one["name"]: one.get("value") for one in container(pod, "istio-proxy")["env"]}
    own = json.loads(environment["ISTIO_PROMETHEUS_ANNOTATIONS"] or "")
    assert own == {"scrape": "true", "path": "/metrics", "port": "9080"}


def test_the_canonical_service_of_a_pod_without_labels_is_its_workload() -> None:
    text, _ = injected(sample("kinds"))
    labels = pod_of(documents(text)["Job/import"])["metadata"]["labels"]
    assert labels["service.istio.io/canonical-name"] == "import"
    assert labels["service.istio.io/canonical-revision"] == "latest"


def test_probes_of_the_app_go_to_the_agent() -> None:
    text, _ = injected(sample("bookinfo"))
    pod = pod_of(documents(text)["Deployment/reviews-v1"])
    reviews, helper = container(pod, "reviews"), container(pod, "helper")
    assert reviews["livenessProbe"] == {
        "httpGet": {"path": "/app-health/reviews/livez", "port": 15020},
        "timeoutSeconds": 2,
        "periodSeconds": 7,
    }
    assert reviews["readinessProbe"] == {"httpGet": {"path": "/app-health/reviews/readyz", "port": 15020}}
    assert reviews["startupProbe"] == {"exec": {"command": ["cat", "/tmp/ready"]}}
    assert helper["readinessProbe"] == {"grpc": {"port": 9090}}
    environment = {one["name"]: one.get("value") for one in container(pod, "istio-proxy")["env"]}
    assert json.loads(environment["LUGSAIL_APP_PROBERS"] or "") == {
        "/app-health/reviews/livez": {
            "httpGet": {
                "path": "/health",
                "scheme": "HTTPS",
                "httpHeaders": [{"name": "X-Probe", "value": "1"}],
                "port": 9080,
            },
            "timeoutSeconds": 2,
        },
        "/app-health/reviews/readyz": {"tcpSocket": {"port": 9081}},
        "/app-health/helper/startupz": {"httpGet": {"path": "/started", "port": 8000}},
    }


def test_probes_stay_where_that_is_asked_for() -> None:
    asked = "      annotations:\n        sidecar.istio.io/rewriteAppHTTPProbers: 'false'\n"
    text, _ = injected(sample("bookinfo").replace("      annotations:\n", asked))
    pod = pod_of(documents(text)["Deployment/reviews-v1"])
    assert container(pod, "reviews")["readinessProbe"] == {"tcpSocket": {"port": "admin"}}
    assert "LUGSAIL_APP_PROBERS" not in text


def test_a_probe_of_an_unknown_port_is_left_alone_with_a_warning() -> None:
    text, (outcome,) = injected(sample("bookinfo").replace("port: admin", "port: secret"))
    pod = pod_of(documents(text)["Deployment/reviews-v1"])
    assert container(pod, "reviews")["readinessProbe"] == {"tcpSocket": {"port": "secret"}}
    assert "containers[0].readinessProbe: no port of the container is named secret" in outcome.warnings[0]


def test_the_app_waits_for_the_proxy_where_that_is_asked_for() -> None:
    text, _ = injected(sample("kinds"))
    pod = pod_of(documents(text)["ReplicaSet/web"])
    assert [one["name"] for one in pod["spec"]["containers"]] == ["istio-proxy", "web"]
    command = container(pod, "istio-proxy")["lifecycle"]["postStart"]["exec"]["command"]
    assert command[:4] == ["timeout", "60", "sh", "-c"]
    assert "http-ok 15021 /healthz/ready" in command[4]
    # The app is what `kubectl logs` shows all the same.
    assert pod["metadata"]["annotations"]["kubectl.kubernetes.io/default-container"] == "web"


def test_annotations_of_the_proxy() -> None:
    text, _ = injected(sample("kinds"))
    proxy = container(pod_of(documents(text)["ReplicaSet/web"]), "istio-proxy")
    assert proxy["image"] == "example.com/planes:7"
    assert proxy["resources"] == {"requests": {"cpu": "50m"}, "limits": {"memory": "256Mi"}}
    assert flag(proxy["args"], "--concurrency") == "2"
    assert flag(proxy["args"], "--log-level") == "debug"


def test_without_interception_there_is_no_init_container() -> None:
    text, _ = injected(sample("kinds"))
    pod = pod_of(documents(text)["DaemonSet/collector"])
    assert "initContainers" not in pod["spec"]
    proxy = container(pod, "istio-proxy")
    assert (proxy["image"], flag(proxy["args"], "--proxy")) == ("lugsail/envoy", "envoy")
    assert flag(proxy["args"], "--interception") == "NONE"


def test_jobs_are_told_how_their_pods_complete() -> None:
    _, outcomes = injected(sample("kinds"))
    told = [outcome.name for outcome in outcomes if any("/quitquitquit" in text for text in outcome.warnings)]
    assert told == ["import", "nightly"]


def test_an_app_with_the_proxys_user_is_warned_about() -> None:
    pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  securityContext: {runAsUser: 1337}\n"
    _, (outcome,) = injected(pod + "  containers: [{name: c, image: i}]\n")
    assert "container c runs as user 1337" in outcome.warnings[0]


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\nspec: {containers: [{name: c, image: i}]}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "kind: Pod\nspec: {}",
            "app.yaml: document 1: Pod default/?: metadata.name: expected the workload's name, found",
        ),
        ("kind: Pod\nmetadata: {name: p}", "Pod default/p: spec.containers: expected at least one container"),
        (
            POD + "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: shop}\n"
            "spec: {template: {spec: {containers: {}}}}",
            "app.yaml: document 2: Deployment shop/d: spec.template.spec.containers: expected a list, found a mapping",
        ),
        (
            "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: n}\nspec: {jobTemplate: []}",
            "CronJob default/n: spec.jobTemplate: expected a mapping, found a list",
        ),
        (
            POD.replace("{name: web}", "{name: web, annotations: {sidecar.istio.io/inject: true}}"),
            'metadata.annotations["sidecar.istio.io/inject"]: expected text; put it in quotes: "true", found true',
        ),
        (
            "kind: List\napiVersion: v1\nitems: [{kind: Pod, metadata: {name: p}, spec: {containers: [c]}}]",
            "app.yaml: document 1: items[0]: Pod default/p: spec.containers[0]: expected a mapping, found text",
        ),
        (
            POD.replace("{name: c, image", "{image"),
            "spec.containers[0].name: expected the container's name, found nothing",
        ),
    ],
)
def test_errors_name_document_workload_and_path(text: str, message: str) -> None:
    with pytest.raises(BadWorkload) as caught:
        injected(text)
    assert message in str(caught.value)


def test_a_bad_annotation_names_its_place() -> None:
    annotated = POD.replace("{name: web}", "{name: web, annotations: {sidecar.istio.io/proxyCPU: fast}}")
    with pytest.raises(BadAnnotation) as caught:
        injected(annotated)
    start = "app.yaml: document 1: Pod default/web: metadata.annotations: sidecar.istio.io/proxyCPU: 'fast': "
    assert str(caught.value).startswith(start)


def test_what_an_alias_shares_is_injected_once_each() -> None:
    text = (
        "apiVersion: v1\nkind: List\nitems:\n"
        "- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: &spec {containers: [{name: c, image: i}]}}\n"
        "- {apiVersion: v1, kind: Pod, metadata: {name: b}, spec: *spec}\n"
    )
    found = documents(injected(text)[0])
    for name in ("Pod/a", "Pod/b"):
        assert [one["name"] for one in found[name]["spec"]["containers"]] == ["c", "istio-proxy"]
