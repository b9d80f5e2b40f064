"""Passwords and keys of the local stack, made up once and kept under the home folder for their owner only."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

from sluice.core import private
from sluice.core.settings import settings


def login() -> tuple[str, str]:
    """User and password of the local Airflow UI, made up when the stack is first started."""
    path = passwords_file()
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        private.write(path, json.dumps({"admin": secrets.token_urlsafe(12)}))
    return "admin", json.loads(path.read_text())["admin"]


def passwords_file() -> Path:
    return settings().home.resolve() / "airflow" / "passwords.json"


def secret_keys() -> dict[str, str]:
    """Keys of this installation, made up once and kept under the home folder."""
    path = settings().home / "airflow" / "keys.json"
    keys = json.loads(path.read_text()) if path.exists() else {}
    missing = [name for name in ("fernet", "jwt", "api", "pseudonym") if name not in keys]
    if missing:
        from cryptography.fernet import Fernet

        made = {name: secrets.token_urlsafe(48) for name in missing}
        if "fernet" in made:
            made["fernet"] = Fernet.generate_key().decode()
        keys |= made
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all: a lost key of pseudonyms cannot be made again.
        private.write(path, json.dumps(keys))
    return keys
