"""A secret in the settings is nowhere to be seen: not in repr, text, JSON, errors or tracebacks."""

import json
import pickle
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.masking import MIN_PART_CHARS, mask_text
from config.settings import ConfigError, Portal, Settings, load_settings

SECRET = "hush-0123456789"
NO_FILE = Path("/dev/null")
ENVIRON = {
    "CRM_SWEEP_REDIS__URL": f"redis://ann:{SECRET}@h:1/2",
    "CRM_SWEEP_PORTALS__A__URL": "https://crm.example.com",
    "CRM_SWEEP_PORTALS__A__TOKEN": SECRET,
    "CRM_SWEEP_PORTALS__B__URL": "https://crm.example.com",
    "CRM_SWEEP_PORTALS__B__USERNAME": "ann",
    "CRM_SWEEP_PORTALS__B__PASSWORD": SECRET,
}


def everything_raised(error: BaseException) -> str:
    """Return what any handler could print about an error, including its causes and contexts."""
    shown = ["".join(traceback.format_exception(error)), repr(error), str(error)]
    shown += [everything_raised(other) for other in (error.__cause__, error.__context__) if other is not None]
    return "\n".join(shown)


def test_settings_show_no_secret_in_any_form() -> None:
    settings = load_settings(NO_FILE, ENVIRON)
    portal = settings.portal("a")
    assert portal.token is not None
    assert portal.token.get_secret_value() == SECRET
    for shown in (
        repr(settings),
        str(settings),
        f"{settings.redis.url} {settings.redis.url!r} {settings.redis.redacted}",
        settings.model_dump_json(),
        json.dumps(settings.model_dump(mode="json")),
        repr(settings.model_dump()),
        repr(portal),
        repr(dict(portal)),
    ):
        assert SECRET not in shown
    assert settings.model_dump(mode="json")["portals"]["a"]["url"] == "https://crm.example.com"


@pytest.mark.parametrize(
    "broken",
    [
        {"CRM_SWEEP_REDIS__URL": f"redis://ann:{SECRET}@h:0"},
        {"CRM_SWEEP_REDIS__URL": SECRET},
        {"CRM_SWEEP_REDIS__PASSWORD": SECRET + "-other"},
        {"CRM_SWEEP_PORTALS__A__TOKEN": f"Bearer {SECRET}"},
        {"CRM_SWEEP_PORTALS__A__PASSWORD": SECRET},
        {"CRM_SWEEP_PORTALS__B__PASSWORD_FILE": "/nowhere"},
        {"CRM_SWEEP_PORTALS__A__URL": f"https://ann:{SECRET}@h"},
        {"CRM_SWEEP_PORTALS__A__URL": f"https://h/?asc_auth_key={SECRET}"},
        {"CRM_SWEEP_PORTALS__A__TOKE": SECRET},
        {"CRM_SWEEP_API__KEYS": json.dumps([{"name": "a", "key_sha256": SECRET, "scopes": [SECRET]}])},
        {"CRM_SWEEP_API__KEYS": json.dumps([{"name": "a", "key": SECRET}])},
        {"CRM_SWEEP_API__KEYS": f'[{{"key_sha256": "{SECRET}"'},
    ],
)
def test_an_error_beside_a_secret_shows_none(broken: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_settings(NO_FILE, ENVIRON | broken)
    assert SECRET not in everything_raised(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"portals.a.token = [{SECRET!r}]",
        "portals.a.token = 1234567890123456",
        f"portals.a = {SECRET!r}",
        f"portals.a.passwrd = {SECRET!r}",
        f"redis = {SECRET!r}",
        f"redis.pass.word = {SECRET!r}",
        f"api.keys = [{SECRET!r}]",
        f"api.keys = {SECRET!r}",
        f"portals.a.token = {SECRET!r} x",
    ],
)
def test_a_secret_of_the_wrong_type_or_in_the_wrong_place_is_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_settings(path, {})
    shown = everything_raised(caught.value)
    assert SECRET not in shown
    assert "1234567890123456" not in shown


def test_pydantics_own_error_shows_no_secret_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Portal.model_validate({"name": "a", "url": "x", "token": f"{SECRET} x", "tokn": SECRET})
    assert SECRET not in everything_raised(caught.value)
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({"redis": {"url": f"redis://:{SECRET}@h:0"}})
    assert SECRET not in everything_raised(caught.value)


def test_secrets_are_known_to_the_mask_once_loaded() -> None:
    secret = "only-in-this-test-77"
    load_settings(NO_FILE, {"CRM_SWEEP_REDIS__PASSWORD": secret})
    assert mask_text(f"auth failed for {secret}!") == "auth failed for ***!"


@given(st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=MIN_PART_CHARS + 8, max_size=40))
def test_no_token_shows_in_its_settings(token: str) -> None:
    settings = load_settings(NO_FILE, ENVIRON | {"CRM_SWEEP_PORTALS__A__TOKEN": f"{token}~~~~"})
    assert f"{token}~~~~" not in repr(settings) + settings.model_dump_json()


def test_an_error_survives_a_process_boundary() -> None:
    error = pickle.loads(pickle.dumps(ConfigError(["a: b", "c: d"])))  # noqa: S301 - our own bytes
    assert str(error) == "configuration: 2 problems\n  - a: b\n  - c: d"
