"""Is there a Docker Engine for the tests that need one?"""

from __future__ import annotations

import os
from functools import cache

HOST = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
IMAGE = "debian:trixie-slim"


@cache
def engine_missing(*images: str) -> str | None:
    """Why tests with containers cannot run here; None when they can. `images`: what must be there beside the base."""
    import docker
    from docker.errors import DockerException, ImageNotFound

    try:
        client = docker.DockerClient(base_url=HOST, timeout=10)
    except DockerException as error:
        return f"no Docker Engine answers at {HOST}: {error}"
    try:
        client.ping()
        for image in (IMAGE, *images):
            client.images.get(image)
    except ImageNotFound:
        return f"the image {image} is not there: run scripts/docker-engine, then make images"
    except (DockerException, OSError) as error:
        return f"no Docker Engine answers at {HOST}: {error}"
    finally:
        client.close()
    return None
