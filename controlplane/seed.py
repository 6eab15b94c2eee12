"""What a mesh begins with: resources put into a store that has never held any."""

from __future__ import annotations

import logging
from pathlib import Path

from controlplane.apiserver.storage import Store
from lugsail.api.documents import parse_documents
from lugsail.api.errors import DocumentError, InvalidResource
from lugsail.api.load import load_resource

log = logging.getLogger(__name__)

DEFAULT_NAMESPACE = "default"


class BadSeed(Exception):
    """The seed file cannot be used; the text names it, the place in it and what is wrong."""


def seed_store(store: Store, path: Path) -> int:
    """Put the file's resources into a new store; how many. Raises BadSeed, StoreError.

    A store that was ever written to is left alone: who deleted the first gateway does not want it back after a restart.
    The file is checked before anything is written.
    """
    if store.revision:
        return 0
    try:
        documents = parse_documents(path.read_bytes(), str(path))
        resources = [(load_resource(one.data, DEFAULT_NAMESPACE), one.data) for one in documents]
    except OSError as error:
        raise BadSeed(f"--seed {path} cannot be read: {error.strerror}") from error
    except (DocumentError, InvalidResource) as error:
        raise BadSeed(f"--seed {path}: {error}") from error
    for resource, document in resources:
        metadata = {"namespace": DEFAULT_NAMESPACE, **document["metadata"]}
        store.create(resource, {**document, "metadata": metadata})
    log.info("a new store: began with %d resources of %s", len(resources), path)
    return len(resources)
