from __future__ import annotations

import signal
import smtplib
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from hypothesis import given
from hypothesis import strategies as st

from sluice.notify.sink import slug


def mail(subject: str, body: str = "text") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.com", "b@example.com", subject
    message.set_content(body)
    return message


def test_sink_keeps_a_mail_whole_under_its_subject(sink):
    smtp, folder, _ = sink
    body = "Zürich\n.a line that starts with a dot\n" + "x" * 500

    with smtplib.SMTP(smtp.host, smtp.port, timeout=10) as client:
        client.send_message(mail("[sluice][HOLD] flights arrivals: 3 rows", body))

    (path,) = folder.iterdir()
    assert path.name.endswith("-sluice-hold-flights-arrivals-3-rows.eml")
    assert path.name[:8].isdigit()
    kept = message_from_bytes(path.read_bytes(), policy=default)
    assert kept.get_content().replace("\r\n", "\n") == body + "\n"


def test_sink_under_a_burst_of_equal_subjects_keeps_every_mail(sink):
    smtp, folder, _ = sink
    senders, mails = 8, 10
    ready = threading.Barrier(senders)

    def burst(sender: int) -> None:
        with smtplib.SMTP(smtp.host, smtp.port, timeout=30) as client:
            ready.wait(30)
            for number in range(mails):
                client.send_message(mail("the same subject", f"{sender}-{number} " + "x" * 20_000))

    with ThreadPoolExecutor(senders) as pool:
        list(pool.map(burst, range(senders)))

    kept = [message_from_bytes(path.read_bytes(), policy=default).get_content() for path in folder.iterdir()]
    assert sorted(text.split()[0] for text in kept) == sorted(
        f"{sender}-{number}" for sender in range(senders) for number in range(mails)
    )
    assert {len(text.strip()) - len(text.split()[0]) for text in kept} == {20_001}


def test_sink_that_cannot_write_tells_the_sender_to_come_again(sink):
    smtp, folder, _ = sink
    folder.rmdir()

    with smtplib.SMTP(smtp.host, smtp.port, timeout=10) as client:
        try:
            client.send_message(mail("lost?"))
        except smtplib.SMTPDataError as error:
            code = error.smtp_code
        else:
            code = 250

    assert code == 451


def test_sink_on_sigterm_ends_cleanly(sink):
    _, _, process = sink

    process.send_signal(signal.SIGTERM)

    assert process.wait(10) == 0


def test_sink_on_a_taken_port_says_so(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "sluice.notify.sink", "--port", str(port), "--folder", str(tmp_path)],
            capture_output=True,
            text=True,
            timeout=30,
        )

    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@given(st.binary(max_size=300) | st.binary(max_size=120).map(lambda junk: b"Subject: " + junk + b"\r\n\r\nx"))
def test_slug_of_any_bytes_is_a_safe_file_name(content):
    name = slug(content)

    assert 0 < len(name) <= 80
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
