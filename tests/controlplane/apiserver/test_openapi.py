import json

from controlplane.apiserver.openapi import document, index
from lugsail.api.kinds import KINDS


def test_every_kind_has_its_schema_and_paths():
    for kind in KINDS.values():
        made = document(kind.group, "v1")
        assert made["components"]["schemas"][kind.kind]["properties"]["spec"]
        assert f"/apis/{kind.group}/v1/namespaces/{{namespace}}/{kind.plural}/{{name}}" in made["paths"]


def test_every_reference_leads_somewhere():
    made = document("networking.istio.io", "v1")
    text = json.dumps(made)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    for reference in references:
        assert reference.removeprefix("#/components/schemas/") in made["components"]["schemas"], reference


def test_unknown_groups_have_none_and_known_ones_are_listed():
    assert document("nothing.io", "v1") is None
    assert "apis/networking.istio.io/v1" in index()["paths"]
