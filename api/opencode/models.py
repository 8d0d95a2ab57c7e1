"""The models and the agent that this server has, in the shapes of OpenCode's two surfaces."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.calls import LeanRoute
from api.opencode.offer import Offer, offer_of
from api.opencode.place import location_of
from api.opencode.queries import checked
from api.opencode.refusals import NoSuchProvider
from api.replies import reply
from domain.answers import DEFAULT_AGENT

Json = dict[str, Any]

router = APIRouter(route_class=LeanRoute, include_in_schema=False)

PACKAGE = "promptq"
"""What stands where OpenCode names the npm package that talks to a provider: promptq's workers do."""

_ABOUT_AGENT = "Whatever answers for the prompt's model. Other agents' names are kept and handed to it."
_NO_COST = {"input": 0, "output": 0, "cache": {"read": 0, "write": 0}}


def config_shape(offer: Offer) -> Json:
    """Write what OpenCode's configuration would say of this server."""
    return {"model": offer.default_model, "share": "disabled", "autoupdate": False, "default_agent": DEFAULT_AGENT}


def provider_shape(provider: str, models: list[str]) -> Json:
    """Write a provider with its models."""
    named = {model: model_shape(provider, model) for model in models}
    return {"id": provider, "name": provider, "source": "custom", "env": [], "options": {}, "models": named}


def model_shape(provider: str, model: str) -> Json:
    """Write a model. Limits of 0 are unknown ones; what calls cost is told with each answer."""
    kinds = {"text": True, "audio": False, "image": False, "video": False, "pdf": False}
    return {
        "id": model,
        "providerID": provider,
        "api": {"id": model, "url": "", "npm": PACKAGE},
        "name": model,
        "capabilities": {
            "temperature": False,
            "reasoning": False,
            "attachment": True,
            "toolcall": False,
            "input": kinds,
            "output": kinds,
            "interleaved": False,
        },
        "cost": _NO_COST,
        "limit": {"context": 0, "output": 0},
        "status": "active",
        "options": {},
        "headers": {},
        "release_date": "",
        "variants": {},
    }


def newer_provider_shape(provider: str) -> Json:
    """Write a provider as `/api` has it."""
    return {
        "id": provider,
        "name": provider,
        "api": {"type": "native", "settings": {}},
        "request": {"headers": {}, "body": {}},
    }


def newer_model_shape(provider: str, model: str) -> Json:
    """Write a model as `/api` has it."""
    return {
        "id": model,
        "providerID": provider,
        "name": model,
        "api": {"id": model, "type": "native", "settings": {}},
        "capabilities": {"tools": False, "input": ["text"], "output": ["text"]},
        "request": {"headers": {}, "body": {}},
        "variants": [],
        "time": {"released": 0},
        "cost": [_NO_COST],
        "status": "active",
        "enabled": True,
        "limit": {"context": 0, "output": 0},
    }


@router.get("/config")
@router.get("/global/config")
async def config(request: Request) -> Response:
    """Return what OpenCode's configuration would say of this server."""
    checked(request)
    return reply(config_shape(offer_of(request)))


@router.get("/config/providers")
async def configured_providers(request: Request) -> Response:
    """List the providers whose models this server takes, and which model of each is the default."""
    checked(request)
    offer = offer_of(request)
    return reply({"providers": _providers(offer), "default": _defaults(offer)})


@router.get("/provider")
async def providers(request: Request) -> Response:
    """List the same; all are connected."""
    checked(request)
    offer = offer_of(request)
    return reply({"all": _providers(offer), "default": _defaults(offer), "connected": list(offer.models)})


@router.get("/agent")
async def agents(request: Request) -> Response:
    """List the one agent."""
    checked(request)
    about = {"name": DEFAULT_AGENT, "description": _ABOUT_AGENT, "mode": "primary", "native": True}
    return reply([{**about, "permission": [], "options": {}}])


@router.get("/api/agent")
async def newer_agents(request: Request) -> Response:
    """List the one agent."""
    checked(request)
    about = {"id": DEFAULT_AGENT, "description": _ABOUT_AGENT, "mode": "primary", "hidden": False}
    agent = {**about, "request": {"headers": {}, "body": {}}, "permissions": []}
    return reply({"location": location_of(request), "data": [agent]})


@router.get("/api/model")
async def newer_models(request: Request) -> Response:
    """List the models that have names."""
    checked(request)
    named = offer_of(request).models.items()
    models = [newer_model_shape(provider, model) for provider, models in named for model in models]
    return reply({"location": location_of(request), "data": models})


@router.get("/api/provider")
async def newer_providers(request: Request) -> Response:
    """List the providers whose models this server takes."""
    checked(request)
    data = [newer_provider_shape(provider) for provider in offer_of(request).models]
    return reply({"location": location_of(request), "data": data})


@router.get("/api/provider/{providerID}")
async def newer_provider(request: Request) -> Response:
    """Return one of them."""
    checked(request)
    provider = request.path_params["providerID"]
    if provider not in offer_of(request).models:
        raise NoSuchProvider(provider)
    return reply({"location": location_of(request), "data": newer_provider_shape(provider)})


def _providers(offer: Offer) -> list[Json]:
    return [provider_shape(provider, models) for provider, models in offer.models.items()]


def _defaults(offer: Offer) -> dict[str, str]:
    """The model of each provider that a client begins with; the server's own default is of the first."""
    return {provider: models[0] for provider, models in offer.models.items() if models}
