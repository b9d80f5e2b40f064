"""A new pipeline from samples of its data: what can be measured of a file is proposed, and what cannot is left as a visible gap."""

from sluice.scaffold.files import require_free, write
from sluice.scaffold.questions import Given, by_source, collect_answers, source_name

__all__ = ["Given", "by_source", "collect_answers", "require_free", "source_name", "write"]
