"""Update the parts of the documentation that are made from code: `make docs`."""

from tools.pages import PARTS


def main() -> None:
    """Write every part into its page, and print which pages changed."""
    for part in PARTS:
        before = part.path.read_text(encoding="utf-8")
        after = part.put_into(before)
        if after != before:
            part.path.write_text(after, encoding="utf-8")
            print(f"{part.page}: {part.name} brought up to date")  # noqa: T201


if __name__ == "__main__":
    main()
