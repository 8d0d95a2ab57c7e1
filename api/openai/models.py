"""The routes of models."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Response

from api.calls import Caller
from api.errors import NoSuchRoute
from api.openai.calls import NoQuery
from api.replies import reply
from domain.errors import ModelUnknown

router = APIRouter(prefix="/v1/models", include_in_schema=False)

ModelPath = Annotated[str, Path(alias="model", max_length=512)]


@router.get("")
def list_models(call: Caller, where: NoQuery) -> Response:
    """List the models that are known by name. Of some providers any name is taken."""
    known = call.means.terms.catalog.known
    models = [_shape(name) for name in known if not name.endswith("/*")]
    return reply({"object": "list", "data": models})


@router.get("/{model:path}")
def get_model(call: Caller, model: ModelPath, where: NoQuery) -> Response:
    """Return a model that prompts may name."""
    try:
        return reply(_shape(call.means.terms.catalog.check_name(model)))
    except ModelUnknown as error:
        raise NoSuchRoute(str(error)) from error


def _shape(name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": 0, "owned_by": name.partition("/")[0]}
