"""Derived tables: dbt models over published tables (the only importer of dbt)."""

from sluice.transform.project import check, docs
from sluice.transform.runner import Node, TransformResult, build

__all__ = ["Node", "TransformResult", "build", "check", "docs"]
