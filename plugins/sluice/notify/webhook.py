"""The message of an event to a chat beside its mail: Slack's format of incoming webhooks, posted by HTTP.

Whoever has a webhook's URL may post there: it is a secret, and is in no error, no log and no entry of the ledger, which name the
Airflow connection instead. A message has no rows of the data: a channel has more readers than a mail.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from sluice.core.errors import MailUndeliveredError, MessageRefusedError
from sluice.notify import compose
from sluice.notify.events import Event

# Seconds for each step of a request, as long as an SMTP server may take; attempts at one message; and the longest pause
# between two, for which a server may ask (Retry-After): a task that has failed already must not wait longer.
TIMEOUT, ATTEMPTS, LONGEST_PAUSE = 10.0, 3, 10.0
# Slack takes 3,000 characters in a block of text (https://docs.slack.dev/reference/block-kit/blocks/section-block).
_BLOCK_CHARS = 2_900
# Rules, and lines of a section, that a message names; the mail and the page have all.
_LINES = 3


@dataclass(frozen=True)
class Webhook:
    """Where messages are posted.

    `connection` is the Airflow connection whose password is the URL; `problem` says why it could not be read, where it could not.
    """

    url: str = field(repr=False)
    connection: str
    problem: str = ""


class _TryAgainError(Exception):
    """The webhook may take the message a little later: after `seconds`, where it says so."""

    def __init__(self, said: str, seconds: float | None = None) -> None:
        super().__init__(said)
        self.seconds = seconds


def post(event: Event, webhook: Webhook) -> None:
    """Post the message about an event; a server that is busy or fails is asked again a few times.

    Raises:
        MessageRefusedError: the webhook does not take this message.
        MailUndeliveredError: it cannot be reached, or takes none.
    """
    import httpx

    # At INFO it logs the URL of each request.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    if webhook.problem or not re.match(r"https?://[^/\s]+", webhook.url):
        raise _undelivered(
            webhook, f"cannot be used: {webhook.problem or 'its password is no http or https address'}"
        )
    try:
        with httpx.Client(timeout=TIMEOUT) as client:
            Retrying(
                retry=retry_if_exception_type(_TryAgainError),
                stop=stop_after_attempt(ATTEMPTS),
                wait=_pause,
                reraise=True,
            )(_post_once, client, message(event), webhook)
    except _TryAgainError as error:
        raise _undelivered(webhook, f"did not take the message: {error}") from None
    except MailUndeliveredError:
        raise
    except Exception as error:  # noqa: BLE001 - recorded and told by whoever posts
        # Also what this machine is set up with: a proxy of a kind that httpx does not know, a file of certificates that is not there.
        # What it says may quote the URL.
        raise _undelivered(webhook, f"did not take the message: {type(error).__name__}") from None


def message(event: Event) -> dict[str, Any]:
    """What is posted: a text for the notification, and blocks with what the mail says first."""
    said = compose.sentences(event)
    cause = f"Probable cause: {event.probable_cause}" if event.probable_cause else ""
    parts = [
        [f"*{_escaped(said['subject'])}*", *map(_escaped, (said["effect"], cause, said["meaning"]))],
        _listed((f"{one.rule}: {one.observed}" for one in event.rules), len(event.rules)),
        *(
            [f"*{_escaped(one.title)}*", *_listed((f"{i.lead}: {i.text}" for i in one.items), len(one.items))]
            for one in event.sections
        ),
        [f"Next: {_escaped(event.next_steps[0])}", _links(event)],
        [_escaped(f"Owner {event.owner}, {event.occurred_at:%Y-%m-%d %H:%M:%S %Z}")],
    ]
    return {
        "text": _cut(_escaped(f"{said['subject']}. {said['effect']}")),
        "blocks": [
            # `verbatim`: no name, channel or address in a text becomes a mention or a link.
            {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text), "verbatim": True}}
            for lines in parts
            if (text := "\n".join(filter(None, lines)))
        ],
    }


def _listed(lines: Iterable[str], count: int) -> list[str]:
    shown = [f"• {_escaped(line)}" for line, _ in zip(lines, range(_LINES), strict=False)]
    return [*shown, *([f"and {count - _LINES} more"] if count > _LINES else [])]


def _links(event: Event) -> str:
    found = ((_escaped(url).replace("|", "%7C"), label) for label, url in event.links.items())
    return " · ".join(f"<{url}|{_escaped(label)}>" for url, label in found)


def _escaped(text: str) -> str:
    """Text of which nothing is a mention, a link or a command to Slack."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut(text: str) -> str:
    """As much as fits into a block, without half of an escaped character or of a link at its end."""
    if len(text) <= _BLOCK_CHARS:
        return text
    return re.sub(r"(&\w{0,3}|<[^>]*)$", "", text[:_BLOCK_CHARS]) + " […]"


def _post_once(client: Any, payload: dict[str, Any], webhook: Webhook) -> None:
    import httpx

    try:
        answer = client.post(webhook.url, json=payload)
    except httpx.TransportError as error:
        raise _TryAgainError(type(error).__name__) from None
    if answer.is_success:
        return
    said = f"it answered {answer.status_code}"
    if answer.status_code in (400, 413):
        raise _undelivered(webhook, f"did not take this message: {said}", MessageRefusedError)
    if answer.status_code != 429 and answer.status_code < 500:
        raise _undelivered(webhook, f"did not take the message: {said}")
    asked = answer.headers.get("retry-after", "")
    seconds = float(asked) if re.fullmatch(r"\d{1,9}", asked) else None
    if seconds is not None and seconds > LONGEST_PAUSE:
        raise _undelivered(webhook, f"did not take the message: {said}, to come again after {asked} s")
    raise _TryAgainError(said, seconds)


def _pause(state: RetryCallState) -> float:
    """What the server asked for, else one second, then two."""
    error = state.outcome.exception() if state.outcome else None
    seconds = error.seconds if isinstance(error, _TryAgainError) else None
    return wait_exponential(max=LONGEST_PAUSE)(state) if seconds is None else seconds


def _undelivered(
    webhook: Webhook, what: str, kind: type[MailUndeliveredError] = MailUndeliveredError
) -> MailUndeliveredError:
    return kind(
        f"The webhook of the Airflow connection {webhook.connection!r} {what}.",
        where=f"Airflow connection {webhook.connection!r}",
        allowed="the URL of an incoming webhook of Slack, or of what takes its format, as the connection's password",
        todo="correct the connection, or see that Airflow's workers reach its host (their proxy, their certificates); it is sent again by the watcher",
    )
