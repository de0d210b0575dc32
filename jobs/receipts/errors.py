"""What can be wrong with receipts. The tree of all errors is drawn in jobs/words/errors.py."""

from config.errors import CrmSweepError


class NoReceiptKey(CrmSweepError):
    """There is no key to sign receipts with."""

    def __init__(self) -> None:
        super().__init__("receipts cannot be signed: receipts.key_file is not set")


class NotEnded(CrmSweepError):
    """The job has not ended, so its ledger can still change."""

    def __init__(self, job_id: str, state: str) -> None:
        self.job_id = job_id
        self.state = state
        super().__init__(f"job {job_id} is {state}: there is a receipt once it has ended")


class UnknownContact(CrmSweepError, LookupError):
    """The contact ID is not in the job."""

    def __init__(self, job_id: str, contact_id: int | str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} has no contact {contact_id}")


class BadReceipt(CrmSweepError, ValueError):
    """The bytes are not a receipt or a proof; the message says why."""


class BadPublicKey(CrmSweepError, ValueError):
    """The text is not the public key of receipts."""


class Mismatch(CrmSweepError):
    """A receipt does not agree with itself, with a key or with a ledger.

    Args:
        part: what does not agree: `key`, `signature`, `statement`, `counts`, `total`, `root`, `line 17`.
        why: what was found there.
    """

    def __init__(self, part: str, why: str) -> None:
        self.part = part
        super().__init__(f"not verified: {part}: {why}")
