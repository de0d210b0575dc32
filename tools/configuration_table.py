"""The table of settings in docs/configuration.md, from the models in config/."""

from config.reference import Setting, all_settings
from tools.setting_texts import text_of

_HEAD = """\
| Setting | Environment variable | Type | Range | Default | Unit | What it is |
|---|---|---|---|---|---|---|"""


def render() -> str:
    """Return one row for each setting, in the order of the models."""
    return "\n".join([_HEAD, *(f"| {' | '.join(_cells(setting))} |" for setting in all_settings().values())])


def _cells(setting: Setting) -> list[str]:
    default = "required" if setting.required else f"`{setting.default}`" if setting.default else "-"
    return [
        f"`{setting.name}`",
        f"`{setting.env}`" if setting.env else "-",
        setting.kind,
        setting.range or "-",
        default,
        setting.unit or "-",
        text_of(setting),
    ]
