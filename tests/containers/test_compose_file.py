"""`docker-compose.yml`, read: what it refuses, what it shows to whom, and that what it names exists."""

import json
import re
import subprocess
from typing import Any

import jsonschema
import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from api.doors import Doors
from cli import roles
from cli.environment import read_settings
from cli.refusal import Refusal
from domain.keys import Keyring
from domain.settings import Settings
from tests.containers.files import ROOT, MissingVariableError, compose, env_example, only, seconds, stages, variables
from tests.support.commands import clean_environment

FILLED = {"PROMPTQ_PASSWORD": "one", "POSTGRES_PASSWORD": "two"}
FILE = compose(FILLED)
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "promptq")


def settings_of(name: str) -> Settings:
    given = {key.removeprefix("PROMPTQ_").lower(): value for key, value in SERVICES[name]["environment"].items()}
    return Settings.model_validate(
        {key: value for key, value in given.items() if value and key in Settings.model_fields}
    )


def test_it_is_what_the_compose_specification_describes() -> None:
    schema = json.loads((ROOT / "tests/data/compose-spec.json").read_text())
    jsonschema.Draft201909Validator(schema).validate(FILE)


def test_it_has_the_services_of_a_fleet() -> None:
    assert set(SERVICES) == {"redis", "postgres", "migrate", "api", "worker", "flower"}
    assert OURS == ["api", "flower", "migrate", "worker"]


@pytest.mark.parametrize("name", sorted(FILLED))
def test_it_refuses_to_start_without_a_password(name: str) -> None:
    with pytest.raises(MissingVariableError, match=name):
        compose({**FILLED, name: ""})


def test_the_example_is_of_every_variable_and_starts_nothing_as_it_stands() -> None:
    assert set(env_example()) == set(variables())
    assert not any(env_example().values())
    with pytest.raises(MissingVariableError):
        compose(env_example())


def test_git_and_the_builder_keep_out_the_file_with_the_passwords() -> None:
    assert subprocess.run(["git", "check-ignore", "-q", ".env"], cwd=ROOT, check=False).returncode == 0
    assert "!.env" not in (ROOT / ".dockerignore").read_text()


@pytest.mark.parametrize("name", OURS)
def test_every_setting_exists(name: str) -> None:
    known = {f"PROMPTQ_{field.upper()}" for field in Settings.model_fields}
    given = {key for key in SERVICES[name]["environment"] if key != "PGPASSWORD"}
    assert given <= known
    assert {key for key in variables() if key.startswith("PROMPTQ_")} <= known


def test_an_empty_setting_is_the_default() -> None:
    worker = settings_of("worker")
    assert worker.concurrency == Settings.model_fields["concurrency"].default
    assert worker.model == Settings.model_fields["model"].default


def test_who_needs_no_password_is_given_none() -> None:
    holders = {
        secret: {name for name, service in SERVICES.items() if secret in service.get("environment", {}).values()}
        for secret in FILLED.values()
    }
    assert holders == {"one": {"api", "flower"}, "two": {"postgres", "migrate", "api", "worker"}}


def test_no_password_is_on_a_command_line_or_in_a_url() -> None:
    secrets = {"PROMPTQ_PASSWORD": "s3cret-a", "POSTGRES_PASSWORD": "s3cret-b"}
    for service in compose(secrets)["services"].values():
        assert "s3cret" not in str([service["command"], service.get("healthcheck")])
        assert not any("s3cret" in value and "://" in value for value in service.get("environment", {}).values())


def test_ports_are_published_on_loopback_only_and_are_those_that_are_listened_on() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    defaults = Settings.model_fields
    assert published == {
        "api": [f"127.0.0.1:4096:{defaults['port'].default}"],
        "flower": [f"127.0.0.1:5555:{defaults['flower_port'].default}"],
    }
    assert set(only(stages()[-1], "EXPOSE").split()) == {"4096", "5555"}


def test_the_stores_are_reached_by_promptq_alone() -> None:
    assert FILE["networks"]["store"]["internal"] is True
    for name in ("redis", "postgres", "migrate"):
        assert SERVICES[name]["networks"] == ["store"]


def test_there_can_be_many_workers() -> None:
    assert SERVICES["worker"].keys().isdisjoint({"container_name", "hostname", "ports"})


def test_redis_writes_nothing_and_evicts_nothing() -> None:
    words = SERVICES["redis"]["command"]
    options = dict(zip(words[1::2], words[2::2], strict=True))
    assert options == {"--save": "", "--appendonly": "no", "--maxmemory-policy": "noeviction"}
    assert SERVICES["redis"]["tmpfs"] == ["/data"]
    assert "volumes" not in SERVICES["redis"]


def test_what_postgres_keeps_outlives_its_container() -> None:
    assert SERVICES["postgres"]["volumes"] == ["postgres:/var/lib/postgresql"]
    assert "postgres" in FILE["volumes"]


def test_the_database_has_connections_for_more_than_one_api_and_many_workers() -> None:
    assert "max_connections=300" in SERVICES["postgres"]["command"]


def test_whoever_is_stopped_has_the_time_that_it_takes() -> None:
    assert seconds(SERVICES["worker"]["stop_grace_period"]) >= settings_of("worker").grace + 10
    assert seconds(SERVICES["api"]["stop_grace_period"]) >= roles.API_GRACE_S + 5


def test_all_but_the_migration_are_started_again_and_watched() -> None:
    for name, service in SERVICES.items():
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped"), name
        assert ("healthcheck" in service) is (name != "migrate"), name


def test_nothing_starts_before_what_it_needs() -> None:
    waits = {
        name: {other: on["condition"] for other, on in each["depends_on"].items()}
        for name, each in SERVICES.items()
        if "depends_on" in each
    }
    after_migration = {"migrate": "service_completed_successfully", "redis": "service_healthy"}
    assert waits == {
        "migrate": {"postgres": "service_healthy"},
        "api": after_migration,
        "worker": after_migration,
        "flower": {"redis": "service_healthy"},
    }


@pytest.mark.parametrize("name", OURS)
def test_promptq_can_do_nothing_in_its_container_but_run(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_files_of_the_image_name_no_registry() -> None:
    named = [only(stage, "FROM").split()[0] for stage in stages()] + [each["image"] for each in SERVICES.values()]
    assert [name for name in named if re.search(r"\.|:\d+/", name.partition("/")[0]) and "/" in name] == []


@pytest.mark.parametrize("role", [roles.api, roles.flower], ids=["api", "flower"])
def test_a_server_in_a_container_does_not_start_without_a_password(role: Any) -> None:
    settings = read_settings(host=SERVICES["api"]["environment"]["PROMPTQ_HOST"])
    assert settings.host == "0.0.0.0"
    with pytest.raises(Refusal):
        role(settings, clean_environment())


@pytest.mark.parametrize(
    ("host", "lets_in"),
    [
        ("127.0.0.1:4096", True),
        ("localhost:14096", True),  # whatever port it is published on
        ("api:4096", True),  # from another container
        ("prompts.example", True),
        ("0.0.0.0:4096", False),
        ("evil.example", False),
        ("", False),
    ],
)
def test_the_api_answers_to_the_names_that_it_is_reached_by(host: str, lets_in: bool) -> None:
    file = compose({**FILLED, "PROMPTQ_ALLOWED_HOSTS": "prompts.example"})
    given = file["services"]["api"]["environment"]
    settings = Settings.model_validate(
        {name: given[f"PROMPTQ_{name.upper()}"] for name in ("host", "allowed_hosts", "password")}
    )
    client = TestClient(Doors(PlainTextResponse("in"), settings, Keyring({}, password=given["PROMPTQ_PASSWORD"])))
    answer = client.get("/session", headers={"Host": host, "Authorization": "Bearer one"})
    assert (answer.text == "in") is lets_in
    assert client.get("/session", headers={"Host": host}).text != "in"
