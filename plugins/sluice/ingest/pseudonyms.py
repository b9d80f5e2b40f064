"""Personal data becomes pseudonyms before anything of it is written.

A value of a column with `pii: true` is replaced by its HMAC-SHA256 under a secret key (RFC 2104), cut to 32
hexadecimal digits. The same value has the same pseudonym in every column, source and day, so tables still join; without
the key nobody can go through a list of names or numbers and compare, as one can with a plain hash. That is the keyed
hash which ENISA's guidance on pseudonymisation recommends; it is pseudonymisation and not anonymisation, so what it
makes is still personal data, and the key is to be kept where the tables are not.

Values are taken as they are delivered: "Ada" and "ADA " are two people.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sluice.core.errors import PseudonymKeyMissingError

if TYPE_CHECKING:
    import pyarrow as pa

    from sluice.declare.contracts import Contract
    from sluice.ingest.layout import Layout

CONNECTION = "sluice_pseudonym"
DIGITS = 32
# RFC 2104 discourages keys shorter than the hash's output.
MIN_KEY = 32


def require_key(contract: Contract | Layout, where: str, key: bytes | None) -> bytes | None:
    """The key, where a contract has personal columns; None where it has none.

    Raises:
        PseudonymKeyMissingError: there is no key, or it is too short; names the columns, never a value.
    """
    columns = contract.pseudonymised
    if not columns:
        return None
    if key is not None and len(key) >= MIN_KEY:
        return key
    found = "there is no key" if key is None else f"the key has only {len(key)} bytes"
    raise PseudonymKeyMissingError(
        f"There is personal data in {', '.join(columns)}, and {found} to replace it.",
        where=where,
        allowed=f"an Airflow connection {CONNECTION} with a secret of at least {MIN_KEY} characters as its password",
        todo="make a key once (python -c 'import secrets; print(secrets.token_urlsafe(48))'), define the connection "
        "with it as password, and keep it: under another key nobody is the same person any more",
    )


def key_id(key: bytes) -> str:
    """What tells one key from another without telling the key: recorded with each delivery."""
    return hmac.digest(key, b"sluice pseudonym key", hashlib.sha256).hex()[:8]


def replace(table: pa.Table, names: Sequence[str], key: bytes) -> pa.Table:
    """The table with every value of these columns replaced; null stays null."""
    import pyarrow as pa

    for name in names:
        coded = table[name].combine_chunks().dictionary_encode()
        people = coded.dictionary.to_pylist()
        made = [hmac.digest(key, person.encode(), hashlib.sha256).hex()[:DIGITS] for person in people]
        values = pa.array(made, pa.string()).take(coded.indices)
        table = table.set_column(table.column_names.index(name), name, values)
    return table
