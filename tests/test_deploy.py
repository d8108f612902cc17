"""What is shipped for operators speaks of metrics, labels and values that are there."""

from __future__ import annotations

import asyncio
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, get_args

import pytest
import yaml

from coo_middleware import load_config
from coo_middleware.core import families
from coo_middleware.core.exports import PrometheusExport
from coo_middleware.core.label_values import LabelValues
from coo_middleware.core.record import CacheStatus, ErrorType
from coo_middleware.exporters.prometheus import ProcessView, Reading
from tests.test_docs import ROOT

if TYPE_CHECKING:
    from coo_middleware.core.families import Family

DEPLOY: Final = ROOT / "deploy"
DASHBOARD: Final = json.loads((DEPLOY / "grafana" / "dashboard.json").read_text())
RULES: Final = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"][0]["rules"]
SCRAPES: Final = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())
COMPOSE: Final = yaml.safe_load((DEPLOY / "docker-compose.yml").read_text())
CONFIG: Final = load_config(DEPLOY / "coo.yaml")

PANELS: Final = [(panel["title"], each["expr"]) for panel in DASHBOARD["panels"] for each in panel["targets"]]
ALERTS: Final = [(rule["alert"], rule["expr"]) for rule in RULES]
WORDS: Final = {
    "cache": {*get_args(CacheStatus)},
    "error_type": {*get_args(ErrorType)},
    "event": {"store_errors", "internal_errors"},
}
# Prometheus' own.
UP: Final = {"up": {"job", "instance"}}


def tell_samples() -> dict[str, set[str]]:
    """Every sample that both views expose, with its labels, read from what is rendered."""
    process = asyncio.run(ProcessView(PrometheusExport(), LabelValues([]), dict).collect())
    every = (*families.SHARED_FAMILIES, *families.OWN_FAMILIES)
    readings = [
        Reading("coo_", every, cells(every), process.build),
        Reading("coo_fleet_", families.SHARED_FAMILIES, cells(families.SHARED_FAMILIES)),
    ]
    text = "".join(reading.render("")[0].decode() for reading in readings)
    return {
        name: {*re.findall(r'(\w+)="', labels)}
        for name, labels in re.findall(r"^(coo_\w+)\{(.*)\} ", text, re.MULTILINE)
    }


def cells(given: tuple[Family, ...]) -> dict[tuple[Family, tuple[str, ...]], list[float]]:
    return {(each, each.labels): [1.0] * each.size for each in given}


SAMPLES: Final = tell_samples() | UP


@dataclass(frozen=True)
class Selector:
    """One metric in an expression, and the labels that are asked of it, with their values."""

    metric: str
    labels: dict[str, str]


def selectors(expr: str) -> list[Selector]:
    found = re.findall(r"\b(coo_\w+|up)\b(?:\{([^}]*)\})?", expr)
    return [Selector(metric, dict(re.findall(r'(\w+)\s*[=!]~?\s*"([^"]*)"', labels))) for metric, labels in found]


@pytest.mark.parametrize(("name", "expr"), [*PANELS, *ALERTS])
def test_an_expression_asks_for_what_is_there(name: str, expr: str) -> None:
    """Each metric exists, has the labels that it is asked by, and can have their values."""
    assert selectors(expr), name
    for each in selectors(expr):
        assert each.metric in SAMPLES, each.metric
        assert {*each.labels} <= SAMPLES[each.metric]
        for label, value in each.labels.items():
            assert {*value.split("|")} <= WORDS.get(label, {value}) | {".+"}


@pytest.mark.parametrize(("name", "expr"), [*PANELS, *ALERTS])
def test_an_expression_sums_by_labels_that_are_there(name: str, expr: str) -> None:
    """What is summed by is a label of each metric, or one that Prometheus adds to all."""
    kept = {label.strip() for labels in re.findall(r"\bby \(([^)]*)\)", expr) for label in labels.split(",")}

    for each in selectors(expr):
        assert kept <= SAMPLES[each.metric] | {"instance", "job"}, name


def test_a_wrong_name_would_be_seen() -> None:
    """The checks above can fail, on a metric and on a label."""
    with pytest.raises(AssertionError):
        test_an_expression_asks_for_what_is_there("", "rate(coo_request_total[5m])")
    with pytest.raises(AssertionError):
        test_an_expression_asks_for_what_is_there("", 'rate(coo_requests_total{cached="hit"}[5m])')
    with pytest.raises(AssertionError):
        test_an_expression_sums_by_labels_that_are_there("", "sum by (part) (coo_requests_total)")


def test_each_metric_of_the_fleet_is_shown() -> None:
    """No metric of the fleet is missing on the dashboard."""
    shown = {each.metric for _, expr in PANELS for each in selectors(expr)}

    for family in families.SHARED_FAMILIES:
        assert {name for name in shown if name.startswith(f"coo_fleet_{family.name}")}, family.name


def test_panels_are_apart() -> None:
    """No two panels have one place or one number."""
    panels = DASHBOARD["panels"]
    places = [(x, y) for panel in panels for x, y in area(panel["gridPos"])]

    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({*places}) == len(places)
    assert max(x for x, _ in places) < 24


def area(place: dict[str, int]) -> list[tuple[int, int]]:
    across, down = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return [(x, y) for x in across for y in down]


def test_alerts_say_what_is_the_matter() -> None:
    """Each alert has a severity and a sentence."""
    assert [] == [
        rule["alert"] for rule in RULES if not rule["labels"]["severity"] or "." not in rule["annotations"]["summary"]
    ]


def test_prometheus_scrapes_where_the_app_answers() -> None:
    """The paths of the jobs are the configured ones, and the rules are the file beside them."""
    jobs = {job["job_name"]: job["metrics_path"] for job in SCRAPES["scrape_configs"]}

    assert {
        "coo-fleet": CONFIG.exporters.prometheus.fleet_path,
        "coo-process": CONFIG.exporters.prometheus.path,
    } == jobs
    assert ["alerts.yml"] == SCRAPES["rule_files"]
    assert CONFIG.exporters.prometheus.enabled


def test_images_are_pinned_and_ports_are_closed() -> None:
    """Each image has a version, and no port is open to another machine."""
    images = [service["image"] for service in COMPOSE["services"].values() if "image" in service]

    assert [] == [image for image in images if not re.search(r":v?\d+\.\d+\.\d+", image)]
    assert re.search(r"^FROM python:3\.\d+-", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    ports = [port for service in COMPOSE["services"].values() for port in service.get("ports", [])]
    assert [] == [port for port in ports if not port.startswith("127.0.0.1:")]


def test_what_is_mounted_and_copied_is_there() -> None:
    """The files that the containers are given are in this repository, and every volume is declared."""
    volumes = [each.split(":")[0] for service in COMPOSE["services"].values() for each in service.get("volumes", [])]
    copied = re.findall(r"^COPY (.*) \S+$", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)

    assert [] == [each for each in volumes if each.startswith(".") and not (DEPLOY / each).is_file()]
    assert {*COMPOSE["volumes"]} == {each for each in volumes if not each.startswith(".")}
    assert [] == [name for names in copied for name in names.split() if not (ROOT / name).exists()]


def test_the_app_finds_its_store() -> None:
    """The address in the configuration is a service of the compose file."""
    assert CONFIG.storage.runtime.addr.split(":")[0] in COMPOSE["services"]
