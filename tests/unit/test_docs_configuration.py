"""What docs/configuration.md says about settings; its table is generated from the models."""

from pathlib import Path

import pytest

from config.reference import Setting, all_settings
from config.settings import ConfigError, load_settings
from tools.setting_texts import text_of

DOCS = Path(__file__).parents[2] / "docs" / "configuration.md"


@pytest.mark.parametrize("setting", all_settings().values(), ids=lambda setting: setting.name)
def test_a_setting_is_one_sentence_without_what_would_break_the_table(setting: Setting) -> None:
    text = text_of(setting)
    assert text.endswith(".")
    assert "|" not in text


def test_the_example_of_an_error_is_what_the_program_prints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("crm-sweep.toml").write_text('[portals.main]\nurl = "http://crm"\ntoken = "tok-1"\nburst = 0')
    with pytest.raises(ConfigError) as caught:
        load_settings(None, {"CRM_SWEEP_WORKR__SLICE_S": "1"})
    assert f"```text\n{caught.value}\n```" in DOCS.read_text(encoding="utf-8")
