"""`lugsail kube-inject`: puts sidecars into Kubernetes manifests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, cast

import typer

from lugsail.cli.apply import FileOption
from lugsail.cli.manifests import read_sources
from lugsail.cli.output import DATA, USAGE, CliError, warn

EXAMPLES = """\b
Examples:
  lugsail kube-inject -f deployment.yaml | kubectl apply -f -
  lugsail kube-inject -f manifests/ --proxy envoy -o injected.yaml
  kubectl get deployment reviews-v1 -o yaml | lugsail kube-inject -f -"""


def kube_inject(
    filename: FileOption,
    output: Annotated[str, typer.Option("--output", "-o", metavar="FILE", help="Write here; - is standard output.")] = (
        "-"
    ),
    proxy: Annotated[str, typer.Option("--proxy", help="python or envoy, for workloads that do not say.")] = "python",
    image: Annotated[
        str, typer.Option("--image", metavar="IMAGE", help="The image of init container and Python sidecar.")
    ] = "lugsail/planes",
    envoy_image: Annotated[
        str, typer.Option("--envoy-image", metavar="IMAGE", help="The same with the stock Envoy inside.")
    ] = "lugsail/envoy",
    discovery: Annotated[
        str, typer.Option("--discovery", metavar="HOST:PORT", help="The control plane's xDS, as pods see it.")
    ] = "control-plane.istio-system.svc:15010",
) -> int:
    """Put the sidecar into Deployments, StatefulSets, DaemonSets, ReplicaSets, Jobs, CronJobs, Pods and Lists.

    Anything else in the files is passed on byte for byte, and so is a workload that has a sidecar, runs in the host's
    network or says sidecar.istio.io/inject: "false"; standard error tells which and why. Injecting twice changes
    nothing. docs/reference/injection.md lists the annotations.
    """
    if proxy not in ("python", "envoy"):
        raise CliError(f"--proxy {proxy}: choose python or envoy.", USAGE)
    host, _, port = discovery.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise CliError(
            f"--discovery {discovery}: expected HOST:PORT, such as control-plane.istio-system.svc:15010.", USAGE
        )

    from controlplane.injector.kube import KubeOptions
    from controlplane.injector.kube_pod import Images

    kind = cast(Literal["python", "envoy"], proxy)
    text = _injected(filename, KubeOptions(kind, Images(image, envoy_image), discovery))
    if output == "-":
        print(text, end="")
        return 0
    try:
        Path(output).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CliError(f"Cannot write {output}: {error.strerror}.", USAGE) from error
    return 0


def _injected(sources: list[str], options: object) -> str:
    from controlplane.injector.annotations import BadAnnotation
    from controlplane.injector.kube import KubeOptions, inject_documents
    from controlplane.injector.kube_fields import BadWorkload
    from controlplane.injector.kube_text import split_documents
    from lugsail.api.errors import DocumentError

    assert isinstance(options, KubeOptions)
    try:
        pieces = [piece for name, text in read_sources(sources) for piece in split_documents(text, name)]
        text, outcomes = inject_documents(pieces, options)
    except (DocumentError, BadWorkload, BadAnnotation) as error:
        raise CliError(f"{error}\nNothing was written.", DATA) from error
    for outcome in outcomes:
        if not outcome.injected:
            warn(f"{outcome.where}: left as it is: {outcome.reason}")
        for warning in outcome.warnings:
            warn(f"warning: {warning}")
    if not outcomes:
        warn(f"warning: no workload in {', '.join(sources)}; passed on as it was.")
    return text
