"""The terms of an approval: what the person approves, and what the portal's guards ask of an approval."""

import msgspec

from config.portal import Portal


class ApprovalTerms(msgspec.Struct, frozen=True, kw_only=True):
    """The terms of one approval, as the scripts read them (jobs/store/lua/includes/plan.lua).

    Attributes:
        digest: of the plan that was shown to the person, or its beginning; empty if they name none.
        second_person_above: somebody other than the submitter approves a job of more contacts; 0 for no limit.
        max_share: largest share of the portal that a plan may delete, 0 to 1.
        cooling_off_ms: how long the approved job waits before its first PUT, milliseconds.
    """

    digest: str = ""
    second_person_above: int = 0
    max_share: float = 1.0
    cooling_off_ms: int = 0

    def json(self) -> bytes:
        """Return the terms as the scripts read them."""
        return msgspec.json.encode(self)


def approval_terms(portal: Portal | None, digest: str | None = None) -> ApprovalTerms:
    """Return the terms under which a portal's jobs are approved.

    Args:
        portal: the portal's settings; None if it is not configured here, so that its guards are not known.
        digest: the digest that the person gives; None if they give none.
    """
    if portal is None:
        return ApprovalTerms(digest=(digest or "").lower())
    return ApprovalTerms(
        digest=(digest or "").lower(),
        second_person_above=portal.second_person_above,
        max_share=portal.max_share,
        cooling_off_ms=round(portal.cooling_off_s * 1000),
    )
