"""What all the services share: settings from the environment, headers passed on, calls to other services, serving."""
