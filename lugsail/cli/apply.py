"""`lugsail apply`: creates or updates resources, and waits until the proxies have them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

import typer

from lugsail.cli import distribution, references
from lugsail.cli.connect import ControlPlaneOption, NamespaceOption, OutputOption, ProjectOption, connect
from lugsail.cli.manifests import Manifest, in_safe_order, read_manifests
from lugsail.cli.output import FAILURE, CliError, as_json, check_format, counted, error, warn
from lugsail.client import ApiError, Client

EXAMPLES = """\b
Examples:
  lugsail apply -f samples/bookinfo/virtual-service-all-v1.yaml
  lugsail apply -f rules/ -f extra.yaml      a folder with all below it, and a file
  cat rule.yaml | lugsail apply -f - --no-wait"""

CONFLICT_RETRIES = 5

FileOption = Annotated[
    list[str], typer.Option("--filename", "-f", metavar="FILE|DIR|-", help="What to read; may be repeated.")
]


def apply(
    filename: FileOption,
    namespace: NamespaceOption = "default",
    wait: distribution.WaitOption = True,
    timeout: distribution.TimeoutOption = "10s",
    output: OutputOption = None,
    control_plane: ControlPlaneOption = None,
    project: ProjectOption = None,
) -> int:
    """Create or update resources; wait until every affected proxy has acknowledged them.

    All documents are validated first: when one is invalid, none is applied. Destination rules and service entries
    go before the virtual services that refer to them. Exits with 1 when a proxy rejects the change.
    """
    check_format(output, ["json"])
    timeout_s = distribution.parse_timeout(timeout)
    manifests = in_safe_order(valid_manifests(filename, namespace))
    client = connect(control_plane, project, timeout_s)
    results: list[dict[str, Any]] = []
    revisions: list[int] = []
    failed = False
    for manifest in manifests:
        try:
            action, revision = put(client, manifest)
        except ApiError as problem:
            failed = True
            _print_refusal(manifest, problem)
            break
        results.append({"resource": manifest.ref, "namespace": manifest.namespace, "action": action})
        if revision:
            revisions.append(revision)
        if output is None:
            print(f"{manifest.ref} {action}", flush=True)
    for text in [] if failed else _unresolved(client, manifests):
        warn(f"warning: {text}")
    code = 0
    outcomes: list[distribution.Outcome] = []
    if wait and revisions:
        if output is None:
            code, outcomes = distribution.report(client, revisions, timeout_s)
        else:
            outcomes = distribution.wait_for(client, revisions, timeout_s)
            code = distribution.exit_code(outcomes)
    if output == "json":
        print(as_json({"resources": results, "proxies": [asdict(outcome) for outcome in outcomes]}))
    return FAILURE if failed else code


def _unresolved(client: Client, manifests: Sequence[Manifest]) -> list[str]:
    """Warnings about applied virtual services whose subsets no rule of the control plane names."""
    last = {manifest.key: manifest.resource for manifest in manifests if manifest.kind.kind == "VirtualService"}
    applied = list(last.values())
    if not references.missing_subsets(applied, ()):  # none names a subset
        return []
    group, plural = "networking.istio.io", "destinationrules"
    return references.missing_subsets(applied, client.list(group, plural, None).get("items") or ())


def valid_manifests(sources: list[str], namespace: str) -> list[Manifest]:
    """The resources of the sources; prints every error there is and raises CliError when there is one."""
    reading = read_manifests(sources, namespace)
    for text in reading.warnings:
        warn(f"warning: {text}")
    if reading.errors:
        for text in reading.errors:
            error(text)
        raise CliError(f"{counted(len(reading.errors), 'error')}; nothing was applied.")
    return reading.manifests


def put(client: Client, manifest: Manifest) -> tuple[str, int | None]:
    """(created|configured|unchanged, the revision of the write). A write in between is met by another try."""
    kind, namespace = manifest.kind, manifest.namespace
    for attempt in range(CONFLICT_RETRIES):
        stored = client.get(kind.group, kind.plural, namespace, manifest.name)
        try:
            if stored is None:
                return "created", client.create(kind.group, kind.plural, namespace, manifest.resource).revision
            if same(stored, manifest.resource):
                return "unchanged", None
            version = stored["metadata"].get("resourceVersion")
            metadata = {**manifest.resource["metadata"], **({"resourceVersion": version} if version else {})}
            body = {**manifest.resource, "metadata": metadata}
            return "configured", client.replace(kind.group, kind.plural, namespace, body).revision
        except ApiError as problem:
            if problem.status != 409 or attempt == CONFLICT_RETRIES - 1:
                raise
    raise AssertionError("unreachable")


def same(stored: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the stored resource says what the wanted one says: spec, labels and annotations."""
    have, want = stored.get("metadata", {}), wanted["metadata"]
    return (
        stored.get("spec", {}) == wanted["spec"]
        and (have.get("labels") or {}) == (want.get("labels") or {})
        and (have.get("annotations") or {}) == (want.get("annotations") or {})
    )


def _print_refusal(manifest: Manifest, problem: ApiError) -> None:
    sys.stdout.flush()
    if problem.causes:
        for field, message in problem.causes:
            error(f"{manifest.place}: {manifest.kind.kind} {manifest.namespace}/{manifest.name}: {field}: {message}")
    else:
        error(f"{manifest.place}: {manifest.ref}: {problem.message}")
