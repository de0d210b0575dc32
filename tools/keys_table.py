"""The table of keys in docs/how-it-works.md, from jobs/store/catalogue.py."""

from jobs.store.catalogue import CATALOGUE, Entry


def render() -> str:
    """Return one row for each kind of key."""
    rows = [
        "| key | type | a member looks like | scripts that write it | other writers | lives |",
        "|---|---|---|---|---|---|",
    ]
    return "\n".join([*rows, *map(_row, CATALOGUE)])


def _row(entry: Entry) -> str:
    scripts, modules = ", ".join(entry.scripts), ", ".join(map(_spoken, entry.modules))
    cells = (entry.pattern, entry.type, entry.member, scripts or "-", modules or "-", entry.lives)
    return f"| {' | '.join(cells)} |"


def _spoken(module: str) -> str:
    return f"{module.replace('.', '/')}.py" if "." in module else module
