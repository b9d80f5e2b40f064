"""What a person would write by hand, proposed: a pipeline from samples of its data, rules from another suite, bounds from published days."""

from sluice.scaffold.files import require_free, write
from sluice.scaffold.questions import Given, by_source, collect_answers, source_name

__all__ = ["Given", "by_source", "collect_answers", "require_free", "source_name", "write"]
