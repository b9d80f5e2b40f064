"""What the tests of several modules do with mails."""

from __future__ import annotations

from sluice import ledger, notices


def body(mail) -> str:
    """The text of a mail in one line."""
    return " ".join(mail.get_body(("plain",)).get_content().split())


def tell(event, smtp):
    return notices.deliver(event, smtp, sender="sluice@localhost", to=["someone@example.com"])


def publication(day, batch="20300101T000000000000-aaaaaa"):
    """Record that a day of arrivals is published."""
    ledger.append(
        "published", pipeline="flights", subject="arrivals", partition=day, data={"batch_id": batch}
    )
