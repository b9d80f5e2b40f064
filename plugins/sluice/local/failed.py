"""Mail that a program of the local stack does not stay up.

It is not recorded as a fault of a pipeline: `sluice up` says the same.
"""

from __future__ import annotations

from email.message import EmailMessage
from email.utils import formatdate, make_msgid

import click

from sluice.core.settings import settings


def compose(name: str, home: str) -> EmailMessage:
    """The mail about a program that ends again and again."""
    message = EmailMessage()
    message["Subject"] = f"[sluice][FAILED] local stack: {name} does not stay up"
    message["From"], message["To"] = settings().mail_from, settings().mail_to
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="sluice")
    message.set_content(
        f"{name} of the local stack in {home} ended again and again shortly after it was started. It is started again "
        f"with longer and longer pauses, of five minutes at most. The other programs go on.\n\nWhere: {home}/logs/{name}.log and {home}/logs/supervisor.log\n"
        "Next: read the end of the first, correct the cause; `sluice up` tries again at once.\n"
    )
    return message


@click.command()
@click.argument("name")
def main(name: str) -> None:
    """Mail that the program NAME does not stay up, through the Airflow connection of all mails."""
    from sluice.notify.send import send
    from sluice.orchestration.callbacks import smtp

    send(compose(name, str(settings().home)), smtp())


if __name__ == "__main__":
    main()
