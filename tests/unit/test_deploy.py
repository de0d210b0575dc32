"""Alert rules, dashboard and Prometheus' configuration agree with the existing metrics and with the documents."""

import importlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from jobs.view.backlog import Backlog
from jobs.words.reasons import PORTAL_FAULTS
from tests.support.documents import ROOT, anchors, first_column
from tests.support.samples import PORTAL_VIEW, SCHEDULE_VIEW, WEBHOOK_VIEW
from web.ops.exposition import Reading, render

# Comes with pre-commit and has no type information.
yaml = importlib.import_module("yaml")

DEPLOY = ROOT / "deploy"
OPERATIONS = ROOT / "docs" / "operations.md"
ALERTS: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
STORIES: list[dict[str, Any]] = yaml.safe_load((DEPLOY / "alerts_test.yml").read_text())["tests"]
PROMETHEUS: dict[str, Any] = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())


def _reading() -> Reading:
    backlog = Backlog(at_ms=0, portals={}, ended=0, queue=0, workers=0)
    return Reading(backlog, [PORTAL_VIEW], {"main": {}}, [SCHEDULE_VIEW], [WEBHOOK_VIEW], min_replicas=2, replicas=1)


def exposed() -> dict[str, tuple[str, set[str]]]:
    """Return the type and labels of every metric of `/metrics`, by the name that documents use."""
    text = render(_reading()).decode()
    found = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        found[name] = (family.type, {label for sample in family.samples for label in sample.labels} - {"le"})
    return found


def panels() -> list[dict[str, Any]]:
    """Return all panels of the dashboard except its rows."""
    flat = [inner for panel in DASHBOARD["panels"] for inner in (panel, *panel.get("panels", ()))]
    return [panel for panel in flat if panel["type"] != "row"]


def dashboard_expressions() -> list[str]:
    return [target["expr"] for panel in panels() for target in panel["targets"]]


EXPRESSIONS = [*dashboard_expressions(), *(rule["expr"] for rule in ALERTS)]


def promtool(*arguments: object) -> str:
    done = subprocess.run(
        ["/usr/bin/env", "promtool", *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_takes_its_configuration() -> None:
    shown = promtool("check", "config", DEPLOY / "prometheus.yml")
    assert "1 rule files found" in shown


def test_the_alert_rules_are_valid() -> None:
    assert f"{len(ALERTS)} rules found" in promtool("check", "rules", DEPLOY / "alerts.yml")


def test_the_alerts_fire_when_they_should_and_only_then() -> None:
    assert "SUCCESS" in promtool("test", "rules", DEPLOY / "alerts_test.yml")


def test_every_alert_fires_in_a_story_and_keeps_quiet_in_one() -> None:
    cases = [case for story in STORIES for case in story["alert_rule_test"]]
    fires = {case["alertname"] for case in cases if case.get("exp_alerts")}
    assert fires == {rule["alert"] for rule in ALERTS}
    for rule in ALERTS:
        quiet = [case for case in cases if case["alertname"] == rule["alert"] and not case.get("exp_alerts")]
        series = next(story["input_series"] for story in STORIES if fires_in(story, rule["alert"]))
        portals = {match[1] for one in series if (match := re.search(r'portal="(\w+)"', one["series"]))}
        assert quiet or len(portals) > 1, f"{rule['alert']}: no story, and no portal, in which it stays silent"


def fires_in(story: dict[str, Any], alert: str) -> bool:
    return any(case["alertname"] == alert and case.get("exp_alerts") for case in story["alert_rule_test"])


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert rule["for"]
    assert set(rule["annotations"]) == {"summary", "description", "runbook"}
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert ROOT / page == OPERATIONS
    assert anchor == rule["alert"].lower()
    assert anchor in anchors(OPERATIONS)


def test_every_alert_in_the_documents_is_there() -> None:
    named = re.findall(r"^### (CrmSweep\w+)$", OPERATIONS.read_text(), re.MULTILINE)
    assert named == [rule["alert"] for rule in ALERTS]


def test_every_metric_is_explained_once_with_type_and_labels() -> None:
    table = OPERATIONS.read_text().partition("\n## Metrics\n")[2].partition("\n## ")[0]
    documented = {}
    for row in re.findall(r"^\| `(crm_sweep_\w+)` \| (\w+) \|([^|]*)\|", table, re.MULTILINE):
        documented[row[0]] = (row[1], set(re.findall(r"`(\w+)`", row[2])))
    assert documented == exposed()
    assert sorted(first_column(OPERATIONS, "Metrics")) == sorted(documented)


def test_dashboard_and_alerts_use_only_metrics_and_labels_that_exist() -> None:
    metrics = exposed()
    used = set()
    for expression in EXPRESSIONS:
        for name, selector in re.findall(r"\b(crm_sweep_\w+|up)(?:\{([^}]*)\})?", expression):
            if name == "up":
                continue
            metric = re.sub(r"_bucket$", "", name)
            assert metric in metrics, f"{metric} in {expression}"
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= metrics[metric][1] | {"le"}, f"{labels} of {metric} in {expression}"
            used.add(metric)
    # For readers of a single scrape; a graph takes the rate of the counter.
    unseen = {"crm_sweep_achieved_requests_per_second"}
    unseen |= {name for name in metrics if name.startswith("crm_sweep_api_process_")}
    assert used >= metrics.keys() - unseen, "no panel and no alert shows these"


def test_label_values_in_the_expressions_are_words_of_the_program() -> None:
    known: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(render(_reading()).decode()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                known.setdefault(label, set()).add(value)
    assert known["fault"] == set(PORTAL_FAULTS)
    for expression in EXPRESSIONS:
        for label, values in re.findall(r"(outcome|state|call|result|fault)(?:=~|!~|!=|=)\"([^\"]*)\"", expression):
            assert set(values.split("|")) <= known[label], expression


def test_every_expression_of_the_dashboard_is_one(tmp_path: Path) -> None:
    rules = [
        {"record": f"dashboard:expression:{number}", "expr": filled(expression)}
        for number, expression in enumerate(dashboard_expressions())
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"{len(rules)} rules found" in promtool("check", "rules", file)


def filled(expression: str) -> str:
    """Replace Grafana's variables with values."""
    return expression.replace("$__rate_interval", "1m").replace("$portal", "main|other")


def test_every_series_that_is_drawn_is_safe_against_several_api_processes() -> None:
    """All processes show the same numbers, so their sum would be a multiple; `max by` comes first."""
    for expression in EXPRESSIONS:
        for at in (match.start() for match in re.finditer(r"\bcrm_sweep_(?!api_|build_info)", expression)):
            before = expression[:at]
            assert re.search(r"max(?:_over_time)?(?: by \([\w, ]+\))? \(?(?:\w+\()*$|max\((?:\w+\()?$", before), (
                expression
            )


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        place = panel["gridPos"]
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }  # fmt: skip
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, f"{panel['title']} overlaps another panel"
        taken |= cells


def test_the_dashboard_can_be_narrowed_to_portals_and_has_a_row_for_each() -> None:
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert set(variables) == {"datasource", "portal"}
    assert variables["portal"]["multi"]
    assert [row["repeat"] for row in DASHBOARD["panels"] if row["type"] == "row" and "repeat" in row] == ["portal"]


def compose_services() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].items()


def test_prometheus_scrapes_the_api_of_the_compose_file() -> None:
    services = dict(compose_services())
    [scrape] = PROMETHEUS["scrape_configs"]
    assert scrape["job_name"] == "crm-sweep", "CrmSweepApiDown asks for this name"
    [target] = scrape["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert services[host]["command"][-2:] == ["--port", port]
    datasource = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert datasource["datasources"][0]["url"] == "http://prometheus:9090"
    assert datasource["datasources"][0]["jsonData"]["timeInterval"] == PROMETHEUS["global"]["scrape_interval"]
    provider = yaml.safe_load((DEPLOY / "grafana/provisioning/dashboards/crm-sweep.yml").read_text())
    targets = {config["target"] for config in services["grafana"]["configs"]}
    assert f"{provider['providers'][0]['options']['path']}/crm-sweep.json" in targets
    assert services["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] in targets


def test_monitoring_comes_only_when_it_is_asked_for_and_without_passwords() -> None:
    for name, service in compose_services():
        if name in {"prometheus", "grafana"}:
            assert service["profiles"] == ["monitoring"]
            assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+\.\d+", service["image"])
    grafana = dict(compose_services())["grafana"]["environment"]
    assert grafana["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert grafana["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert not any("PASSWORD" in name for name in grafana)
