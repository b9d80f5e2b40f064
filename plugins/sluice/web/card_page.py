"""The pages of a model card and of a datasheet, and the same as Markdown: what `sluice model card` prints."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.responses import PlainTextResponse, Response

from sluice.core.errors import ModelNotRecordedError
from sluice.core.links import COMPUTED
from sluice.declare import spec
from sluice.models import cards
from sluice.models.cards.document import Document, markdown
from sluice.web.rendering import HEADERS, MayRead, own, read_or_explain


def add_routes(app: FastAPI, readable: Any) -> None:
    """Add both, for each of `cards.DOCUMENTS`; `readable` is a dependency that gives a `MayRead`."""

    # Before the page, whose name could end so.
    @app.get(f"/{COMPUTED}/model/{{pipeline}}/{{name}}.md")
    def as_markdown(
        pipeline: str, name: str, version: int | None = None, may_read: MayRead = readable
    ) -> Response:
        found, problem = _written(pipeline, name, version, may_read)
        if found is None:
            raise HTTPException(503, problem)
        headers = {**HEADERS, "Content-Disposition": f'attachment; filename="{name}-{found.version}.md"'}
        text = "".join(f"{line}\n" for line in markdown(found))
        return PlainTextResponse(text, media_type="text/markdown", headers=headers)

    @app.get(f"/{COMPUTED}/model/{{pipeline}}/{{name}}")
    def page(
        request: Request,
        pipeline: str,
        name: str,
        version: int | None = None,
        may_read: MayRead = readable,
    ) -> Response:
        found, problem = _written(pipeline, name, version, may_read)
        if found is None:
            about = f"The {name} of {pipeline}"
            return own(request, "unreadable.html.j2", status=503, name=about, problem=problem)
        return own(
            request, "card.html.j2", pipeline=pipeline, name=name, document=found, names=list(cards.DOCUMENTS)
        )


def _written(pipeline: str, name: str, version: int | None, may_read: MayRead) -> tuple[Document | None, str]:
    """The document, or the problem where what it is made from cannot be read."""
    if pipeline not in spec.pipeline_names() or name not in cards.DOCUMENTS or not may_read(pipeline):
        raise HTTPException(404)

    def write() -> tuple[Document | None]:
        declared = spec.load(pipeline)
        try:
            return (cards.write(name, declared, version) if declared.has_model else None,)
        except ModelNotRecordedError:
            return (None,)

    found, problem = read_or_explain(write)
    if found == (None,):
        raise HTTPException(404)
    return (found[0] if found else None), problem
