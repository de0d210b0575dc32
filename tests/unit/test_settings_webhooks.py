"""The settings of webhooks: what is accepted, what is refused, and that neither address nor secret is ever shown."""

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from config.masking import mask_text
from config.settings import ConfigError, Settings, UnknownWebhook, load_settings

SECRET = "whsec_" + base64.b64encode(b"k" * 32).decode()
URL = "https://hooks.chat.example/services/T000/B000/XXXXXXXX"
PORTAL = '[portals.main]\nurl = "http://crm"\ntoken = "tok-1"\n'


def loaded(tmp_path: Path, *tables: dict[str, Any]) -> Settings:
    lines = [PORTAL]
    for table in tables:
        lines += ["[[webhooks]]", *(f"{name} = {json.dumps(value)}" for name, value in table.items())]
    (tmp_path / "conf.toml").write_text("\n".join(lines))
    return load_settings(tmp_path / "conf.toml", {})


def refused(tmp_path: Path, *tables: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, *tables)
    return "\n".join(caught.value.problems)


def test_an_address_and_a_secret_are_enough(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    [webhook] = loaded(tmp_path, {"url": URL, "secret_file": str(tmp_path / "secret")}).webhooks
    assert (webhook.name, webhook.host, webhook.key) == ("hooks-chat-example", "hooks.chat.example", SECRET)
    assert (webhook.events, webhook.portals) == (None, None)


def test_neither_address_nor_secret_is_shown(tmp_path: Path) -> None:
    settings = loaded(tmp_path, {"url": URL, "secret": SECRET})
    for text in (repr(settings), str(settings.webhooks), settings.model_dump_json()):
        assert "services" not in text
        assert SECRET[6:] not in text
    shown = mask_text(f"Cannot connect to {URL} with {SECRET}, or to /services/T000/B000/XXXXXXXX")
    assert "T000" not in shown
    assert SECRET[6:] not in shown


def test_an_address_without_a_path_can_have_its_secret_behind_a_question_mark(tmp_path: Path) -> None:
    key = "k3yOfTheAnswersOnly"
    assert loaded(tmp_path, {"url": f"https://hooks.chat.example?key={key}", "secret": SECRET}).webhooks
    assert key not in mask_text(f"Cannot connect to /?key={key}")


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"url": "http://hooks.example.com/T000"}, "webhooks[0].url (file"),
        ({"url": "ftp://hooks.example.com/T000"}, "an address that begins with https:// and has a host"),
        ({"url": "https://me:T000@hooks.example.com/"}, "without credentials"),
        ({"url": "https://hooks.example.com\\T000"}, "without credentials"),
        ({"url": "https://hooks.example.com:99999/T000"}, "a port from 1 to 65535"),
        ({"url": "https://hooks.example.com/T0 00"}, "without blanks"),
        ({"secret": "whsec_" + base64.b64encode(b"short").decode()}, "24 to 64 bytes in base64 (it has 5)"),
        ({"secret": "whsec_not base64!"}, "a secret in base64"),
        ({"secret": None}, "webhooks[0].secret_file: given nothing"),
        ({"secret": None, "secret_file": "/nowhere/secret"}, "No such file"),
        ({"events": ["job.finished"]}, "one or more of job.planned"),
        ({"events": []}, "webhooks[0].events"),
        ({"portals": ["other"]}, "'other' among the portals of webhook"),
        ({"name": "Not A Name"}, "a name of 1 to 32 characters"),
        ({"address": "x"}, "unknown setting"),
    ],
)
def test_what_is_wrong_is_named_without_being_shown(tmp_path: Path, wrong: dict[str, Any], expected: str) -> None:
    table = {"url": URL, "secret": SECRET} | wrong
    problems = refused(tmp_path, {name: value for name, value in table.items() if value is not None})
    assert expected in problems
    assert "T0" not in problems
    assert SECRET[6:] not in problems


@pytest.mark.parametrize("url", ["http://127.0.0.1:9000/x", "http://localhost/x", "http://[::1]:9000/x"])
def test_a_receiver_on_this_machine_needs_no_tls(tmp_path: Path, url: str) -> None:
    assert loaded(tmp_path, {"url": url, "secret": SECRET}).webhooks


def test_webhooks_are_told_apart_by_name(tmp_path: Path) -> None:
    one = {"url": URL, "secret": SECRET}
    assert "'hooks-chat-example' more than once" in refused(tmp_path, one, one)
    settings = loaded(tmp_path, one, one | {"name": "second"})
    assert settings.webhook("second").name == "second"
    with pytest.raises(UnknownWebhook, match="no webhook named 'third' is configured"):
        settings.webhook("third")


def test_they_can_come_from_the_environment() -> None:
    webhooks = json.dumps([{"url": URL, "secret": SECRET, "events": ["job.completed"]}])
    environ = {"CRM_SWEEP_PORTALS__MAIN__URL": "http://crm", "CRM_SWEEP_PORTALS__MAIN__TOKEN": "tok-1"}
    [webhook] = load_settings(None, environ | {"CRM_SWEEP_WEBHOOKS": webhooks}).webhooks
    assert webhook.events == ("job.completed",)
