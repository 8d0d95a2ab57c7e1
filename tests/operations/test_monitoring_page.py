"""docs/monitoring.md: its figures, labels, settings and rules are those that there are.

`python -m tests.operations.test_monitoring_page` writes its table anew.
"""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli.supervisor.logs import LARGEST
from domain import metrics
from domain.census import Census
from domain.jobs import Outcome, State
from domain.log_lines import Lines
from domain.metrics import ALL, Metric
from domain.settings import Settings
from tasks.metrics.tally import MENDED
from tests.containers.files import ROOT
from tests.support import documents

PAGE = ROOT / "docs/monitoring.md"
PAGES = [path for path in (ROOT / "docs").glob("*.md") if path.name != "benchmarks.md"] + [ROOT / "README.md"]
ENDINGS = ("_bucket", "_count", "_sum")

VALUES: dict[str, set[str]] = {
    "kind": {"durable", "ephemeral"},
    "state": {state.value for state in State},
    "outcome": {outcome.value for outcome in Outcome},
    "action": set(MENDED),
    "reason": {"worker", "time", "session"},
}
"""The values of labels that have a known few."""


def table() -> str:
    """The figures, as the page lists them."""
    rows = [f"| `{metric.name}` | {_labels(metric)} | {metric.help} |" for metric in ALL.values()]
    return "\n".join(["| figure | labels | |", "|---|---|---|", *rows])


def _labels(metric: Metric) -> str:
    return ", ".join(f"`{label}`" for label in metric.labels)


def named(text: str) -> list[tuple[str, str]]:
    """Every figure that a text names, with the selector behind it."""
    return re.findall(r"\b(promptq_[a-z_]+[a-z])\b(\{[^}]*\})?", text)


def metric_of(name: str) -> Metric:
    """The metric that a name is of."""
    for ending in ENDINGS:
        if name.endswith(ending) and ALL.get(name.removesuffix(ending), metrics.STREAMS).type == "histogram":
            return ALL[name.removesuffix(ending)]
    return ALL[name]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_figure_that_a_page_names_exists(page: Path) -> None:
    for name, _ in named(page.read_text()):
        assert metric_of(name) in ALL.values(), name


def test_the_table_is_the_catalogue() -> None:
    assert documents.section(PAGE, "metrics") == table(), "python -m tests.operations.test_monitoring_page"


def rules() -> list[dict[str, Any]]:
    (block,) = [text for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "groups:" in text]
    found: list[dict[str, Any]] = yaml.safe_load(block)["groups"][0]["rules"]
    return found


def expressions() -> list[str]:
    table_of_questions = PAGE.read_text().split("| question | PromQL |")[1].split("\n\n")[0]
    return [rule["expr"] for rule in rules()] + re.findall(r"\| `(.+)` \|", table_of_questions)


def test_alerts_and_questions_are_asked_of_labels_and_values_that_there_are() -> None:
    asked = expressions()
    assert len(asked) >= 14
    for expression in asked:
        of = [(metric_of(name), selector) for name, selector in named(expression)]
        assert of, expression
        for metric, selector in of:
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', selector):
                assert label in metric.labels, expression
                assert set(values.split("|")) <= VALUES[label], expression
        for labels in re.findall(r"\bby \(([^)]*)\)", expression):
            known = {"le", *(label for metric, _ in of for label in metric.labels)}
            assert {label.strip() for label in labels.split(",")} <= known, expression


def test_rates_are_taken_of_counters_and_quantiles_of_buckets() -> None:
    for expression in expressions():
        for function, name in re.findall(r"\b(rate|increase|deriv)\((promptq_\w+)", expression):
            kind = metric_of(name).type
            assert (function == "deriv") == (kind == "gauge"), expression
        for inner in re.findall(r"histogram_quantile\([^,]+, (.*)\)", expression):
            assert "_bucket" in inner
            assert "le" in inner


def test_brackets_are_closed() -> None:
    for expression in expressions():
        for opening, closing in ("()", "[]", "{}"):
            assert expression.count(opening) == expression.count(closing), expression


def test_every_alert_says_what_it_means() -> None:
    for rule in rules():
        assert re.fullmatch(r"Promptq[A-Z]\w+", rule["alert"])
        assert rule["annotations"]["summary"].endswith(".")


def test_every_setting_that_is_named_exists() -> None:
    known = {f"PROMPTQ_{name.upper()}" for name in Settings.model_fields}
    assert set(re.findall(r"PROMPTQ_[A-Z_]+[A-Z]", PAGE.read_text())) <= known


def test_the_line_of_a_log_is_as_one_is_written() -> None:
    shown = json.loads(documents.code(PAGE, "json"))
    import logging

    made = {"name": shown["logger"], "levelname": "WARNING", "msg": shown["event"]}
    fields = {name: shown[name] for name in ("job", "session", "attempt")}
    written = json.loads(Lines("json").format(logging.makeLogRecord({**made, **fields})))
    assert list(written) == list(shown)
    assert {**written, "time": ""} == {**shown, "time": ""}


def test_the_figures_of_the_page_are_the_codes() -> None:
    assert LARGEST == 64 * 1024 * 1024
    assert "past 64 MiB" in PAGE.read_text()
    assert Census(ready=1, later=2, behind=3).queued == 6


if __name__ == "__main__":
    documents.replace_section(PAGE, "metrics", table())
