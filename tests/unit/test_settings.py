"""The file and the environment become one frozen object, or one list of everything that is wrong."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from config.reference import Setting, all_settings
from config.settings import ConfigError, Settings, UnknownPortal, load_settings

ROOT = Path(__file__).parents[2]
MAIN = {"CRM_SWEEP_PORTALS__MAIN__URL": "https://crm.example.com", "CRM_SWEEP_PORTALS__MAIN__TOKEN": "tok-of-main-1"}


@pytest.fixture(autouse=True)
def _empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def problems(text: str = "", environ: dict[str, str] | None = None) -> list[str]:
    path = write(Path("test.toml"), text)
    with pytest.raises(ConfigError) as caught:
        load_settings(path, environ or {})
    return caught.value.problems


def test_without_file_and_environment_everything_has_its_default() -> None:
    settings = load_settings(None, {})
    assert settings.redis.url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert dict(settings.portals) == {}
    assert (settings.confirm_above, settings.retention_days) == (1000, 30)
    assert (settings.api.host, settings.api.port, settings.api.keys) == ("127.0.0.1", 8080, ())
    assert (settings.worker.slice_s, settings.worker.lifeline_s) == (20, 2)
    assert (settings.log.format, settings.log.level) == ("auto", "info")


def test_the_file_in_the_current_directory_is_read() -> None:
    write(Path("crm-sweep.toml"), "confirm_above = 7")
    assert load_settings(None, {}).confirm_above == 7


def test_the_file_named_by_the_environment_wins_over_the_one_in_the_current_directory() -> None:
    write(Path("crm-sweep.toml"), "confirm_above = 7")
    write(Path("other.toml"), "confirm_above = 8")
    assert load_settings(None, {"CRM_SWEEP_CONFIG": "other.toml"}).confirm_above == 8
    assert load_settings(Path("crm-sweep.toml"), {"CRM_SWEEP_CONFIG": "other.toml"}).confirm_above == 7


def test_the_environment_wins_key_by_key() -> None:
    path = write(
        Path("test.toml"),
        '[portals.main]\nurl = "https://crm.example.com"\ntoken = "tok-in-file"\nburst = 3\nmax_concurrency = 2',
    )
    portal = load_settings(path, {"CRM_SWEEP_PORTALS__MAIN__BURST": "9"}).portal("main")
    assert (portal.burst, portal.max_concurrency) == (9, 2)


def test_values_from_the_environment_get_their_types() -> None:
    environ = MAIN | {
        "CRM_SWEEP_PORTALS__MAIN__REQUESTS_PER_SECOND": "0.5",
        "CRM_SWEEP_PORTALS__MAIN__REQUEST_TIMEOUT_S": "7",
        "CRM_SWEEP_PORTALS__MAIN__PROTECTED_IDS_FILE": "ids.txt",
        "CRM_SWEEP_RETENTION_DAYS": "1e1",
        "CRM_SWEEP_API__KEYS": '[{"name": "billing", "key_sha256": "%s", "scopes": ["read", "submit"]}]' % ("AB" * 32),
    }
    settings = load_settings(None, environ)
    portal = settings.portal("main")
    assert (portal.requests_per_second, portal.request_timeout_s) == (0.5, 7.0)
    assert portal.protected_ids_file == Path("ids.txt")
    assert settings.retention_days == 10
    assert settings.api.keys[0].key_sha256 == "ab" * 32
    assert settings.api.keys[0].scopes == ("read", "submit")


def test_whole_numbers_in_the_file_are_numbers_too_and_keys_are_tables() -> None:
    text = (
        '[portals.main]\nurl = "http://crm"\ntoken = "tok-in-file"\nrequest_timeout_s = 60\nrequests_per_second = 2\n'
        f'[[api.keys]]\nname = "billing"\nkey_sha256 = "{"0" * 64}"\nscopes = ["read", "submit", "control"]'
    )
    settings = load_settings(write(Path("test.toml"), text), {})
    assert (settings.portal("main").request_timeout_s, settings.portal("main").requests_per_second) == (60.0, 2.0)
    assert settings.api.keys[0].scopes == ("read", "submit", "control")


def test_an_underscore_in_the_environment_reaches_a_portal_with_a_hyphen() -> None:
    path = write(Path("test.toml"), '[portals.eu-west]\nurl = "http://crm"\ntoken = "tok-in-file"')
    assert load_settings(path, {"CRM_SWEEP_PORTALS__EU_WEST__BURST": "4"}).portal("eu-west").burst == 4


def test_all_problems_are_listed_at_once_with_origin_given_and_expected() -> None:
    found = problems(
        'confirm_above = "many"\n[portals.main]\nurl = "ftp://x"\ntoken = "tok-in-file"\nrequests_per_second = 0.001\n'
        "[wroker]\nslice_s = 1",
        {"CRM_SWEEP_PORTALS__MAIN__BURST": "lots", "CRM_SWEEP_LOG__LEVEL": "loud", "CRM_SWEEP_REDIS__URI": "x"},
    )
    assert found == [
        "environment variable CRM_SWEEP_REDIS__URI: matches no setting; did you mean CRM_SWEEP_REDIS__URL?",
        "portals.main.url (file test.toml): given 'ftp://x', expected an address that begins with http:// or https://",
        "portals.main.requests_per_second (file test.toml): given 0.001, expected a number from 0.01 to 1000",
        (
            "portals.main.burst (environment variable CRM_SWEEP_PORTALS__MAIN__BURST): given 'lots', "
            "expected a whole number from 1 to 1000"
        ),
        (
            "log.level (environment variable CRM_SWEEP_LOG__LEVEL): given 'loud', "
            "expected one of debug, info, warning, error"
        ),
        "confirm_above (file test.toml): given 'many', expected a whole number of 0 or more",
        "wroker (file test.toml): unknown setting; did you mean worker?",
    ]


def test_the_error_reads_as_a_list() -> None:
    assert str(ConfigError(["a: b"])) == "configuration: a: b"
    assert str(ConfigError(["a", "b"])) == "configuration: 2 problems\n  - a\n  - b"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("CRM_SWEEP_PORTALS__MAIN__TOKN", "CRM_SWEEP_PORTALS__MAIN__TOKEN"),
        ("CRM_SWEEP_PORTALS_MAIN_TOKEN", "CRM_SWEEP_PORTALS__MAIN__TOKEN"),
        ("CRM_SWEEP_WORKER__SLICE", "CRM_SWEEP_WORKER__SLICE_S"),
        ("CRM_SWEEP_CONFG", "CRM_SWEEP_CONFIG"),
        ("crm_sweep_redis__url", "CRM_SWEEP_REDIS__URL"),
    ],
)
def test_a_misspelt_variable_is_named_with_the_right_one_and_without_its_value(name: str, hint: str) -> None:
    found = problems(environ={name: "hush-hush"})
    assert found == [f"environment variable {name}: matches no setting; did you mean {hint}?"]


@pytest.mark.parametrize(
    "name",
    [
        "CRM_SWEEP_REDIS",
        "CRM_SWEEP_PORTALS",
        "CRM_SWEEP_PORTALS__MAIN",
        "CRM_SWEEP_",
        "CRM_SWEEP_PORTALS__MAIN__NAME",
        "CRM_SWEEP_PORTALS____TOKEN",
    ],
)
def test_a_variable_that_is_no_single_setting_is_refused(name: str) -> None:
    assert any(
        f"environment variable {name}: matches no setting" in problem for problem in problems(environ={name: "x"})
    )


def test_a_misspelt_key_in_the_file_is_named_with_the_right_one_and_without_its_value() -> None:
    found = problems('[portals.main]\nurl = "http://crm"\ntoken = "tok-in-file"\npasswrd = "hush-hush"')
    assert found == ["portals.main.passwrd (file test.toml): unknown setting; did you mean portals.main.password?"]


def test_a_name_inside_a_portals_table_is_refused() -> None:
    (found,) = problems('[portals.main]\nurl = "http://crm"\ntoken = "tok-in-file"\nname = "other"')
    assert found.startswith("portals.main.name (file test.toml): unknown setting")


def test_broken_toml_is_reported_with_line_and_column() -> None:
    (found,) = problems('confirm_above = 1\n[redis\nurl = "x"')
    assert found.startswith("test.toml: not valid TOML: ")
    assert "line 2, column 7" in found


def test_a_missing_file_named_by_the_environment_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.toml \(named by CRM_SWEEP_CONFIG\): cannot be read"):
        load_settings(None, {"CRM_SWEEP_CONFIG": "nowhere.toml"})


def test_a_file_that_is_not_text_is_an_error() -> None:
    Path("crm-sweep.toml").write_bytes(b"confirm_above = 1 # \xff")
    with pytest.raises(ConfigError, match="not UTF-8 text"):
        load_settings(None, {})


@pytest.mark.parametrize("text", ["redis = 5", "portals = []", "portals.main = 'tok-hush'", "api.keys = {}"])
def test_a_value_where_a_table_belongs_is_an_error_that_does_not_show_it(text: str) -> None:
    (found,) = problems(text)
    assert "hush" not in found
    assert "expected a" in found


def test_a_variable_below_a_wrong_table_is_no_crash() -> None:
    (found,) = problems("redis = 5", {"CRM_SWEEP_REDIS__URL": "redis://h"})
    assert found.startswith("redis (file test.toml): given")


@pytest.mark.parametrize("value", ['"8080"', "80.5", "true", "-1", "65536"])
def test_a_number_in_the_file_must_be_one_of_the_right_kind(value: str) -> None:
    (found,) = problems(f"[api]\nport = {value}")
    assert "expected a whole number from 0 to 65535" in found


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
@pytest.mark.parametrize("as_variable", [True, False])
def test_nan_and_infinity_are_not_numbers(value: str, as_variable: bool) -> None:
    text, environ = ("", {"CRM_SWEEP_RETENTION_DAYS": value}) if as_variable else (f"retention_days = {value}", {})
    assert len(problems(text, environ)) == 1


def test_a_key_that_is_no_text_at_all_is_refused() -> None:
    """This is what `sha256sum` returns for a variable that was not set: an empty form would log in."""
    digest = hashlib.sha256(b"").hexdigest().upper()
    (found,) = problems(f'[[api.keys]]\nname = "billing"\nkey_sha256 = "{digest}"\nscopes = ["read"]')
    assert "given that of an empty string, expected the SHA-256 of a key" in found


def test_keys_of_the_api_need_different_names() -> None:
    key = '{"name": "a", "key_sha256": "%s", "scopes": ["read"]}' % ("0" * 64)
    (found,) = problems(environ={"CRM_SWEEP_API__KEYS": f"[{key}, {key}]"})
    assert "given 'a' more than once, expected a different name for every key" in found


def test_nothing_can_be_changed() -> None:
    settings = load_settings(None, MAIN)
    with pytest.raises(ValidationError, match="frozen"):
        settings.confirm_above = 1
    with pytest.raises(ValidationError, match="frozen"):
        settings.portal("main").burst = 2
    with pytest.raises(TypeError):
        settings.portals["other"] = settings.portal("main")  # type: ignore[index]  # exactly what must fail


def test_an_unknown_portal_is_refused_with_the_known_names() -> None:
    settings = load_settings(None, MAIN | {name.replace("MAIN", "ALT"): value for name, value in MAIN.items()})
    with pytest.raises(UnknownPortal, match=r"no portal named 'mian' is configured \(configured: alt, main\)"):
        settings.portal("mian")


def test_the_example_file_loads_and_shows_the_defaults() -> None:
    settings = load_settings(ROOT / "crm-sweep.example.toml", {})
    bare = load_settings(None, MAIN)
    ours = settings.portal("main").model_dump(exclude={"token"})
    assert ours == bare.portal("main").model_dump(exclude={"token"})
    assert settings.model_dump(exclude={"portals"}) == bare.model_dump(exclude={"portals"})


def test_the_lines_commented_out_in_the_example_are_valid_settings() -> None:
    text = (ROOT / "crm-sweep.example.toml").read_text(encoding="utf-8")
    mentioned = {line.removeprefix("# ").split(" = ")[0] for line in text.splitlines() if " = " in line}
    known = {setting.path[-1] for setting in all_settings().values()}
    assert mentioned <= known
    assert known - mentioned == {
        "keys",
        "password",
        "proxy_password",
        "schedules",
        "sentinel_password",
        "secret",
        "webhooks",
    }  # tables of a list are shown as [[api.keys]] and [[webhooks]]; a password is better kept in a file


#: The settings with an environment variable of their own.
RANGED = [
    setting
    for setting in all_settings().values()
    if setting.lowest is not None and setting.env and setting.path[0] != "portals"
]


@given(st.sampled_from(RANGED), st.floats(-1e6, 1e6))
def test_a_number_is_taken_exactly_when_it_is_in_range(setting: Setting, number: float) -> None:
    value = int(number) if setting.kind == "integer" else number
    assert setting.lowest is not None
    in_range = setting.lowest <= value <= (setting.highest if setting.highest is not None else value)
    try:
        settings: Settings | None = load_settings(Path("/dev/null"), {setting.env: f"{value!r}"})
    except ConfigError:
        settings = None
    assert (settings is not None) == in_range
