"""The mail about a program that does not stay up, through a real SMTP server."""

from __future__ import annotations

import json
import subprocess
import sys

from sluice.local import stack


def test_program_that_does_not_stay_up_is_mailed_with_its_log_and_the_next_step(
    home, sink, mails, monkeypatch
):
    smtp, folder, _ = sink
    connection = {"conn_type": "smtp", "host": smtp.host, "port": smtp.port}
    connection["extra"] = {"disable_ssl": True, "disable_tls": True}
    monkeypatch.setenv("AIRFLOW_CONN_SMTP_DEFAULT", json.dumps(connection))
    monkeypatch.setenv("SLUICE_MAIL_TO", "oncall@example.com")
    command = [sys.executable, "-m", "sluice.local.failed", "scheduler"]
    done = subprocess.run(command, env=stack.environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (mail,) = mails(folder)
    assert mail["Subject"] == "[sluice][FAILED] local stack: scheduler does not stay up"
    assert mail["To"] == "oncall@example.com"
    text = mail.get_content()
    assert str(home.resolve() / "logs" / "scheduler.log") in text
    assert "`sluice up`" in text
