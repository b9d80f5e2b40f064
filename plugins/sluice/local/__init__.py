"""The local stack: Airflow and a mail server on one machine, under a supervisor, and the home folder. Not for production."""


def loopback() -> str:
    """What Airflow calls this machine (`core.hostname_callable`): the stack serves nothing to any other."""
    return "127.0.0.1"
