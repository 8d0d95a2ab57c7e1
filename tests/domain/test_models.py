"""Which models prompts may name."""

import pytest

from domain.errors import ModelUnknown
from domain.models import Catalog

CATALOG = Catalog(["echo", "openai"])


def test_of_the_offline_provider_only_its_own_model_is_known() -> None:
    assert CATALOG.check("echo", "echo") == "echo/echo"
    with pytest.raises(ModelUnknown):
        CATALOG.check("echo", "loud")


def test_of_other_providers_any_name_is_taken_also_one_with_slashes() -> None:
    assert CATALOG.check("openai", "org/model") == "openai/org/model"
    assert CATALOG.check_name("openai/org/model") == "openai/org/model"


@pytest.mark.parametrize("name", ["", "echo", "echo/", "/echo", "nobody/x", "ECHO/echo"])
def test_what_no_executor_answers_for_is_unknown_and_what_there_is_is_said(name: str) -> None:
    with pytest.raises(ModelUnknown) as refused:
        CATALOG.check_name(name)
    assert "echo/echo, openai/*" in str(refused.value)
    assert refused.value.field == "model"
