"""The protected list: contact IDs of a portal that are never sent."""

from pyroaring import BitMap

from config.errors import CrmSweepError
from config.portal import Portal
from jobs.intake.parser import read_contact_ids
from jobs.intake.tally import Intake, IntakeError, ListEmpty, WayOut


class BadProtectedList(CrmSweepError):
    """The list cannot be read, so nothing can be deleted; the message names the setting, the file and the fault."""


def load_protected(portal: Portal) -> BitMap:
    """Read a portal's `protected_ids_file`, in any form that intake accepts; return an empty set if none is configured.

    Raises:
        BadProtectedList: the file cannot be read, or is not a list of contact IDs.
    """
    intake = read_protected(portal)
    return BitMap() if intake is None else intake.ids


def read_protected(portal: Portal) -> Intake | None:
    """Read the list as `load_protected` does, but return it with its report; None if no file is configured.

    Raises:
        BadProtectedList: the file cannot be read, or is not a list of contact IDs.
    """
    if portal.protected_ids_file is None:
        return None
    name = f"portals.{portal.name}.protected_ids_file {portal.protected_ids_file}"
    try:
        with portal.protected_ids_file.open("rb") as source:
            return read_contact_ids(source)
    except OSError as error:
        raise BadProtectedList(f"{name} cannot be read: {error.strerror or error}") from None
    except IntakeError as error:
        raise BadProtectedList(f"{name}: {_in_one_line(error)}{_way_out(error)}") from None


def _way_out(error: IntakeError) -> str:
    match error:
        case ListEmpty(bad_lines=()):
            return "; remove the setting if nothing is to be protected"
        case IntakeError(way_out=WayOut.COLUMN):
            return "; rename the column of the contact ID to id"
        case IntakeError(way_out=WayOut.HEADER):
            return "; put a header line before the rows, with id as the name of the column of the contact ID"
    return ""


def _in_one_line(error: IntakeError) -> str:
    told = [f'line {bad.line} ("{bad.text}"): {bad.why}' for bad in error.bad_lines]
    more = error.total_bad - len(error.bad_lines)
    return "; ".join([error.message, *told, *([f"and {more} more"] if more else [])])
