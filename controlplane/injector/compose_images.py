"""Which service of a compose file builds which image: the first that uses one, so that each is built once.

Compose looks for an image's build in all services that name it, and docker-compose 1.29 goes through the services in
the order in which they depend on each other; so one `build` an image is enough.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

IMAGE_PREFIX = "lugsail/"
DOCKERFILE = "compose/images/Dockerfile"

Document = dict[str, Any]


def with_builds(services: Mapping[str, Document]) -> dict[str, Document]:
    """The services with a `build` for each of Lugsail's images, where one of them has one to take the context from.

    In a file whose services build none of Lugsail's images there is no context; `make images` has built them before.
    """
    context = context_of(services)
    if context is None:
        return dict(services)
    built = {str(service.get("image")) for service in services.values() if _ours(service)}
    made = {}
    for name, service in _builders_first(services).items():
        image = str(service.get("image", ""))
        if image.startswith(IMAGE_PREFIX) and image not in built and "build" not in service:
            built.add(image)
            build = {"context": context, "dockerfile": DOCKERFILE, "target": image.removeprefix(IMAGE_PREFIX)}
            service = {"image": image, "build": build, **service}
        made[name] = service
    return {name: made[name] for name in services}


def context_of(services: Mapping[str, Document]) -> str | None:
    """Where the sources of Lugsail's images lie, as the services that build one say it."""
    return next((str(build["context"]) for service in services.values() if (build := _ours(service))), None)


def _ours(service: Mapping[str, Any]) -> Any:
    """The build of one of Lugsail's images, or None."""
    build = service.get("build")
    return build if isinstance(build, dict) and build.get("dockerfile") == DOCKERFILE and "context" in build else None


def _builders_first(services: Mapping[str, Document]) -> dict[str, Document]:
    """The control plane, for which others wait, before all; those of a profile, which may not run, after all."""
    return dict(sorted(services.items(), key=lambda item: (item[0] != "control-plane", bool(item[1].get("profiles")))))
