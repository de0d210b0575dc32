"""What can be wrong with a bundle or with the store that holds it."""

from config.errors import CrmSweepError


class BundleError(CrmSweepError):
    """Something about a bundle; the message says what, and never quotes what is in it."""


class StoreTrouble(BundleError):
    """The store is away, full, or refuses. Nothing that was in it is lost."""


class NoBundle(BundleError, LookupError):
    """There is no bundle of this job in the store, or it is not complete."""


class BundleDamaged(BundleError):
    """An object or manifest is not what was written."""


class BadIdentity(BundleError, ValueError):
    """The private key cannot be read, or is not one that the bundle was encrypted to."""


class BundleInUse(BundleError):
    """The job has not ended, so that its bundle is still needed."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} has not ended: cancel it first, or wait for its end")
