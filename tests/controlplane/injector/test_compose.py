"""Compose documents and what injection makes of them."""

import copy
from typing import Any

import pytest
import yaml

from controlplane.injector.compose import BadCompose, Choices, inject
from controlplane.injector.compose_text import comments_of, inject_text
from controlplane.injector.compose_values import NODES_LIMIT
from controlplane.injector.settings import BadAnnotation

SHOP = """
services:
  # Sells.
  shop-v1:
    image: example/shop
    command: [serve]
    ports: ['127.0.0.1:8000:80']
    networks: {default: {aliases: [shop]}}
    depends_on: [store-v1]
    labels: {app: shop, version: v1, lugsail.io/ports: 'http:80', lugsail.io/service-account: seller}
  store-v1:
    image: example/store
    hostname: store
    labels: [app=store, version=v1, 'lugsail.io/ports=tcp:5432', lugsail.io/namespace=back]
"""


def services(text: str, **choices: Any) -> dict[str, Any]:
    return inject(yaml.safe_load(text), "app.yaml", Choices(**choices)).document["services"]


def one(settings: str, **choices: Any) -> dict[str, Any]:
    """A file with one service `a` of these settings, injected."""
    return services(f"services: {{a: {{image: x, {settings}}}}}", **choices)


def test_a_service_becomes_a_pod_of_four():
    made = services(SHOP)
    assert list(made) == [
        *("shop-v1-pod", "shop-v1-init", "shop-v1-proxy", "shop-v1"),
        *("store-v1-pod", "store-v1-init", "store-v1-proxy", "store-v1"),
        *("control-plane", "gateway", "egress-gateway", "tracing", "metrics", "prometheus"),
    ]
    roles = [made[name]["labels"]["lugsail.io/role"] for name in list(made)[:4]]
    assert roles == ["pod", "init", "proxy", "app"]
    assert {made[name]["labels"]["lugsail.io/pod"] for name in list(made)[:4]} == {"shop-v1"}
    joined = [made[name].get("network_mode") for name in list(made)[:4]]
    assert joined == [None, *["service:shop-v1-pod"] * 3]


def test_the_pod_owns_the_network_and_the_labels():
    pod = services(SHOP)["shop-v1-pod"]
    assert pod == {
        "image": "lugsail/base",
        "command": ["pause"],
        "networks": {"default": {"aliases": ["shop-v1", "shop"]}},
        "ports": ["127.0.0.1:8000:80"],
        "restart": "unless-stopped",
        "labels": {
            "app": "shop",
            "version": "v1",
            "lugsail.io/ports": "http:80",
            "lugsail.io/service-account": "seller",
            "lugsail.io/role": "pod",
            "lugsail.io/pod": "shop-v1",
        },
    }


def test_the_app_stays_as_it_was_but_for_its_network():
    made = services(SHOP)
    assert made["shop-v1"] == {
        "image": "example/shop",
        "command": ["serve"],
        "depends_on": {
            "store-v1": {"condition": "service_started"},
            "shop-v1-init": {"condition": "service_completed_successfully"},
        },
        "restart": "unless-stopped",
        "network_mode": "service:shop-v1-pod",
        "labels": {"lugsail.io/role": "app", "lugsail.io/pod": "shop-v1"},
    }
    assert made["store-v1-pod"]["hostname"] == "store"
    assert "hostname" not in made["store-v1"]


def test_the_init_has_the_rights_it_needs_and_no_others():
    init = services(SHOP)["shop-v1-init"]
    assert init["command"][:3] == ["python", "-m", "sidecar.agent.interception"]
    assert "--redirect-dns" in init["command"]
    assert (init["user"], init["cap_drop"], init["cap_add"]) == ("root", ["ALL"], ["NET_ADMIN", "NET_RAW"])
    assert init["restart"] == "no"


def test_the_proxy_says_who_it_is():
    proxy = services(SHOP)["store-v1-proxy"]
    words = proxy["command"]
    said = {flag: words[words.index(flag) + 1] for flag in ("--workload", "--namespace", "--labels", "--discovery")}
    assert said == {
        "--workload": "store-v1",
        "--namespace": "back",
        "--labels": "app=store,version=v1",
        "--discovery": "control-plane:15010",
    }
    assert proxy["user"] == "1337:1337"
    assert proxy["depends_on"]["store-v1-init"] == {"condition": "service_completed_successfully"}


def proxy_of(made: dict[str, Any], name: str = "a") -> tuple[str, str]:
    words = made[f"{name}-proxy"]["command"]
    return made[f"{name}-proxy"]["image"], words[words.index("--proxy") + 1]


def test_which_proxy():
    asked = ("lugsail/${LUGSAIL_PROXY:-python}", "${LUGSAIL_PROXY:-python}")
    labelled = "labels: {lugsail.io/proxy: envoy}"
    assert proxy_of(one("command: x")) == asked
    assert proxy_of(one("command: x", proxy="envoy")) == ("lugsail/envoy", "envoy")
    assert proxy_of(one("command: x", proxy_for={"a": "envoy"})) == ("lugsail/envoy", "envoy")
    assert proxy_of(one(labelled)) == ("lugsail/envoy", "envoy")
    assert proxy_of(one(labelled, proxy="python")) == ("lugsail/envoy", "envoy")
    assert proxy_of(one(labelled, proxy_for={"a": "python"})) == ("lugsail/python", "python")
    assert proxy_of(one("labels: {sidecar.istio.io/proxyImage: 'my/proxy:1'}"))[0] == "my/proxy:1"
    assert one("command: x", proxy="envoy")["gateway"]["image"] == "lugsail/envoy"


def test_labels_steer_the_rules():
    made = one(
        "labels: {traffic.sidecar.istio.io/excludeOutboundPorts: '5432', proxy.istio.io/config: 'concurrency: 2'}"
    )
    words = made["a-init"]["command"]
    assert words[words.index("-o") + 1] == "5432"
    assert made["a-proxy"]["command"][made["a-proxy"]["command"].index("--concurrency") + 1] == "2"


def test_an_app_may_wait_for_its_sidecar():
    made = one("labels: {proxy.istio.io/config: 'holdApplicationUntilProxyStarts: true'}")
    assert made["a"]["depends_on"]["a-proxy"] == {"condition": "service_healthy"}
    assert made["a-proxy"]["healthcheck"]["interval"] == "1s"
    assert "a-proxy" not in one("command: x")["a"]["depends_on"]


def test_without_interception_there_is_no_init():
    made = one("labels: {sidecar.istio.io/interceptionMode: NONE}")
    assert "a-init" not in made
    assert "depends_on" not in made["a"]
    assert list(made["a-proxy"]["depends_on"]) == ["control-plane"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ("labels: {sidecar.istio.io/inject: 'false'}", 'a label says sidecar.istio.io/inject: "false"'),
        ("network_mode: host", "network_mode: host is the machine's own network"),
        ("network_mode: none", "network_mode: none is no network of this file"),
        ("labels: {lugsail.io/role: app}", "is injected already"),
    ],
)
def test_services_that_stay_as_they_are(settings, reason):
    text = f"services: {{a: {{image: x, {settings}}}, b: {{image: y, labels: {{lugsail.io/ports: 'http:80'}}}}}}"
    document = yaml.safe_load(text)
    done = inject(document, "app.yaml")
    assert done.document["services"]["a"] == document["services"]["a"]
    assert "b-pod" in done.document["services"]
    assert len(done.notes) == 1
    assert done.notes[0].startswith("services.a: ")
    assert reason in done.notes[0]


def test_a_container_of_another_services_network_joins_its_pod():
    made = services("services: {a: {image: x}, b: {image: y, network_mode: 'service:a'}}")
    assert "b-pod" not in made
    assert made["b"]["network_mode"] == "service:a-pod"
    assert made["b"]["labels"] == {"lugsail.io/role": "app", "lugsail.io/pod": "a"}
    assert made["b"]["depends_on"] == {"a-init": {"condition": "service_completed_successfully"}}


def test_it_stays_with_one_that_has_no_sidecar():
    text = """services: {a: {image: x, labels: {sidecar.istio.io/inject: 'false'}},
      b: {image: y, network_mode: 'service:a'}, c: {image: z}}"""
    done = inject(yaml.safe_load(text), "app.yaml")
    assert done.document["services"]["b"] == {"image": "y", "network_mode": "service:a"}
    assert "services.b: stays as it is with a, whose network it shares" in done.notes


def test_links_lead_to_the_pod():
    made = services(
        "services: {a: {image: x, links: [b, 'b:other', c]}, b: {image: y}, c: {image: z, network_mode: host}}"
    )
    assert made["a-pod"]["links"] == ["b-pod:b", "b-pod:other", "c"]
    assert "links" not in made["a"]


def test_networks_of_the_file_reach_the_mesh_too():
    made = services("services: {a: {image: x, networks: [front]}, b: {image: y, networks: {back: }}}")
    assert made["a-pod"]["networks"] == {"front": {"aliases": ["a"]}}
    assert made["control-plane"]["networks"] == made["gateway"]["networks"] == ["front", "back"]
    assert "networks" not in one("command: x")["gateway"]


def test_profiles_are_the_whole_pods():
    made = one("profiles: [extra]")
    assert all(made[name]["profiles"] == ["extra"] for name in ("a-pod", "a-init", "a-proxy", "a"))
    assert "profiles" not in made["gateway"]
    assert made["egress-gateway"]["profiles"] == ["egress-gateway"]


def test_each_image_is_built_once():
    build = "build: {context: .., dockerfile: compose/images/Dockerfile, target: apps}"
    text = (
        f"services: {{p: {{image: y, profiles: [p]}}, a: {{image: lugsail/apps, {build}}}, b: {{image: lugsail/apps}}}}"
    )
    built = {name: service["build"]["target"] for name, service in services(text).items() if "build" in service}
    assert built == {"a": "apps", "a-pod": "base", "a-init": "planes"} | {
        "control-plane": "${LUGSAIL_PROXY:-python}",
        "prometheus": "prometheus",
    }
    assert not any("build" in service for service in services("services: {a: {image: x}}").values())


def test_what_watches_the_mesh_is_in_its_registry_and_has_no_sidecar():
    made = one("command: x")
    for name in ("tracing", "metrics", "prometheus"):
        labels = made[name]["labels"]
        assert (labels["lugsail.io/role"], labels["lugsail.io/namespace"]) == (name, "istio-system")
        assert f"{name}-proxy" not in made
    assert "ui:16686" in made["tracing"]["labels"]["lugsail.io/ports"]
    for name in ("a-proxy", "gateway"):
        command = made[name]["command"]
        assert command[command.index("--access-log-service") + 1] == "metrics:9091"
    assert "--mesh-config" in made["control-plane"]["command"]


def test_grafana_is_there_where_its_boards_are():
    build = "build: {context: .., dockerfile: compose/images/Dockerfile, target: apps}"
    made = services(f"services: {{a: {{image: lugsail/apps, {build}}}}}")
    assert made["grafana"]["profiles"] == ["grafana"]
    assert made["grafana"]["volumes"][0].startswith("../observability/grafana/provisioning:")
    assert "grafana" in made["prometheus"]["profiles"]
    assert "grafana" not in one("command: x")


def test_nothing_is_published_beyond_loopback():
    for service in one("command: x").values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))


def test_injecting_twice_is_injecting_once():
    once = inject_text(SHOP, "app.yaml")
    assert once.pods == 2
    twice = inject_text(once.text, "app.yaml")
    assert (twice.text, twice.pods) == (once.text, 0)
    assert "services.shop-v1: is injected already (lugsail.io/role: app)" in twice.notes


def test_a_service_added_later_gets_its_pod():
    document = inject(yaml.safe_load(SHOP), "app.yaml").document
    before = copy.deepcopy(document["services"])
    done = inject({**document, "services": {**document["services"], "new": {"image": "x"}}}, "app.yaml")
    assert done.pods == 1
    assert {"new-pod", "new-init", "new-proxy", "new"} == set(done.document["services"]) - set(before)
    assert all(done.document["services"][name] == service for name, service in before.items())


def test_the_document_that_came_in_is_not_changed():
    document = yaml.safe_load(SHOP)
    before = copy.deepcopy(document)
    inject(document, "app.yaml")
    assert document == before


def test_the_text_is_the_document_with_comments():
    done = inject_text(SHOP, "some/where/app.yaml")
    assert yaml.safe_load(done.text) == inject(yaml.safe_load(SHOP), "x").document
    assert done.text.startswith("# Made from app.yaml by `lugsail inject`")
    assert "  # Sells.\n  # shop-v1: a pod." in done.text
    assert "&id" not in done.text


def test_comments_are_those_right_above_a_service():
    text = "# head\nservices:\n  # one\n  # two\n  a:\n    image: x\n    # inner\n  b: {}\n\n  # lost\n\n  c: {}\n"
    text += "volumes:\n  # no\n  d:\n"
    assert comments_of(text) == {"a": ["# one", "# two"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "app.yaml: there is no `services` mapping"),
        ("a: [", "app.yaml is not YAML"),
        ("services: {a: 3}", "app.yaml: services.a: expected a mapping, found int."),
        ("services: {a: {labels: 3}}", "services.a.labels: expected a mapping or a list of KEY=VALUE, found int."),
        ("services: {a: {labels: {b: [1]}}}", "services.a.labels.b: expected a text, found list"),
        ("services: {a: {networks: 3}}", "services.a.networks: expected a mapping, found int."),
        ("services: {a: {networks: {n: {aliases: x}}}}", "services.a.networks.n.aliases: expected a list, found str."),
        ("services: {a: {depends_on: 3}}", "services.a.depends_on: expected a mapping, found int."),
        ("services: {a: {links: 3}}", "services.a.links: expected a list, found int."),
        ("services: {a: {user: '1337:0'}}", "services.a.user: 1337 is the sidecar's own user"),
        ("services: {a: {scale: 2}}", "services.a: 2 copies would share one network namespace"),
        ("services: {a: {deploy: {replicas: 3}}}", "services.a: 3 copies would share one network namespace"),
        ("services: {a: {extends: {service: b}}}", "services.a.extends: write the service out"),
        ("services: {a: {}, a-proxy: {}}", "services.a: its pod needs the name a-proxy, which another service has"),
        ("services: {a: {}, gateway: {}}", "services.gateway: the mesh needs this name for a service of its own"),
        ("services: {a: {network_mode: 'service:b'}}", "services.a.network_mode: there is no service b in this file."),
        ("services: {a: {}}\nvolumes: 3", "app.yaml: volumes: expected a mapping, found int."),
    ],
)
def test_errors_name_the_place(text, message):
    with pytest.raises(BadCompose) as caught:
        inject_text(text, "app.yaml")
    assert message in str(caught.value)


def test_a_label_that_cannot_be_used_is_named():
    with pytest.raises(BadAnnotation) as caught:
        one("labels: {traffic.sidecar.istio.io/excludeInboundPorts: http}")
    assert "app.yaml: services.a.labels: traffic.sidecar.istio.io/excludeInboundPorts" in str(caught.value)


def test_a_service_that_is_not_there_gets_no_proxy():
    with pytest.raises(BadCompose, match=r"--proxy-for b: app\.yaml has no such service; it has a"):
        one("command: x", proxy_for={"b": "envoy"})


def test_a_small_text_that_is_a_large_document_is_refused():
    lines = ["x-0: &a0 [1,1,1,1,1,1,1,1,1,1]"]
    lines += [f"x-{n}: &a{n} [{','.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(BadCompose, match=f"more than {NODES_LIMIT} values"):
        inject_text("\n".join([*lines, "services: {a: {x: *a8}}"]), "app.yaml")
    with pytest.raises(BadCompose, match="more than"):
        inject_text("services: {a: &a {b: *a}}", "app.yaml")
