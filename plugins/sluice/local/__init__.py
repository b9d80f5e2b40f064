"""Running Sluice on one machine: the local stack, its REST client and the demo. Not used in production."""


def loopback() -> str:
    """What Airflow calls this machine (`core.hostname_callable`): the stack serves nothing to any other."""
    return "127.0.0.1"
