"""Mails: an event in, one mail out through real SMTP, once for each cause.

Silence is safe: a clean day has no events. This package knows nothing of Airflow; the connection it sends through is
handed to it.
"""
