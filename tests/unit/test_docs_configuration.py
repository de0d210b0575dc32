"""The table in docs/configuration.md and the models say the same, setting by setting."""

from pathlib import Path

import pytest

from config.reference import Setting, all_settings
from config.settings import ConfigError, load_settings

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


def documented() -> dict[str, list[str]]:
    """The cells of each row of the table by the setting's name."""
    rows = [line for line in DOCS.read_text(encoding="utf-8").splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row.strip("|").split(" | ")] for row in rows]
    return {row[0].strip("`"): row for row in cells}


def row(setting: Setting) -> list[str]:
    """The row that a setting should have."""
    default = "required" if setting.required else f"`{setting.default}`" if setting.default else "-"
    return [
        f"`{setting.name}`",
        f"`{setting.env}`" if setting.env else "-",
        setting.kind,
        setting.range or "-",
        default,
        setting.unit or "-",
        setting.description,
    ]


def test_the_table_has_every_setting_once_in_the_order_of_the_models() -> None:
    assert list(documented()) == [setting.name for setting in all_settings().values()]


@pytest.mark.parametrize("setting", all_settings().values(), ids=lambda setting: setting.name)
def test_a_row_says_what_the_model_says(setting: Setting) -> None:
    assert documented()[setting.name] == row(setting)


@pytest.mark.parametrize("setting", all_settings().values(), ids=lambda setting: setting.name)
def test_a_setting_is_one_sentence_without_what_would_break_the_table(setting: Setting) -> None:
    assert setting.description.endswith(".")
    assert "|" not in setting.description


def test_the_example_of_an_error_is_what_the_program_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("crm-sweep.toml").write_text('[portals.main]\nurl = "http://crm"\ntoken = "tok-1"\nburst = 0')
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"CRM_SWEEP_WORKR__SLICE_S": "1"})
    assert f"```text\n{caught.value}\n```" in DOCS.read_text(encoding="utf-8")
