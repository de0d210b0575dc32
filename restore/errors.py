"""What can end a restore early, and what to do next.

RestoreError            the message says what was wrong; nothing was created
├─ NothingToRestore     nothing: no contact of the job was deleted
└─ AlreadyRestoring     wait for the other process; if it was killed, its lease lapses within seconds
RestoreStopped          start the command again: it carries on
├─ LeaseLost            likewise, once the other process has ended
└─ PortalRefuses        put right what the message says, then start it again
"""

from config.errors import CrmSweepError


class RestoreError(CrmSweepError):
    """The restore cannot begin; the message says why."""


class NothingToRestore(RestoreError):
    """No contact that is meant was deleted by the job."""


class AlreadyRestoring(RestoreError):
    """Another process restores contacts of the same portal; the message says who and since when."""


class RestoreStopped(CrmSweepError):
    """The restore ended before it was through; the message says why."""


class LeaseLost(RestoreStopped):
    """This process was silent for longer than its lease, and another one may be at work."""

    def __init__(self) -> None:
        super().__init__("the restore's lease has lapsed, so that another process may have taken over")


class PortalRefuses(RestoreStopped):
    """The portal or the account needs a person; the message says what to do."""
