"""The table `[receipts]`."""

from pathlib import Path

from pydantic import field_validator

from config.fields import FilePath, Section, refuse, shown_path


class Receipts(Section):
    """How receipts are signed."""

    key_file: FilePath | None = None
    """PEM file of the private key (Ed25519) that signs receipts, as `crm-sweep keys new receipt` writes it; without it
    there are none."""

    @field_validator("key_file")
    @classmethod
    def _is_a_key(cls, file: Path | None) -> Path | None:
        if file is not None:
            from config.signing_key import read_signing_key  # noqa: PLC0415 - most starts need no cryptography

            try:
                read_signing_key(file)
            except ValueError as error:
                refuse(str(error), given=shown_path(file))
        return file
