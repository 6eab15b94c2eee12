"""`python -m sidecar`: an agent with its proxy. The agent of an Envoy does not even load the Python proxy."""

import sys

from sidecar.agent.options import configure_logging, parse_options, write_bootstrap


def main() -> int:
    options = parse_options(sys.argv[1:])
    if options.proxy == "envoy":
        from sidecar.agent.envoy import run_envoy

        configure_logging(options.log_level)
        write_bootstrap(options)
        return run_envoy(options)
    from sidecar.main import run

    return run(options)


sys.exit(main())
