"""Having the user agree to a plan by typing the number of contacts."""

import sys

from cli.errors import UsageError
from cli.output import plural, rendered
from cli.plan_view import plan_view
from jobs.plan.summary import Plan
from jobs.view.job import Job
from jobs.words.verdicts import Verdict

#: What people put between groups of digits.
_MARKS = {ord(mark): None for mark in ",._' "}


def agree_to(job: Job, plan: Plan) -> None:
    """Show the plan of a job, and have the user type the number of contacts before it is approved.

    Args:
        job: the job, with the sample of its plan.
        plan: its plan.

    Raises:
        UsageError: the user did not agree.
    """
    deletable = plan.counts[Verdict.DELETABLE]
    sys.stderr.write(rendered(plan_view(job)))
    sys.stderr.write(
        f"This deletes {plural(deletable, 'contact')} of portal {job.portal} for good. "
        "Type the number of contacts to go ahead: "
    )
    sys.stderr.flush()
    answer = sys.stdin.readline().strip().translate(_MARKS)
    # Those who count what they have selected mean the same plan: the others of it are left alone.
    if answer not in {str(deletable), str(job.total)}:
        raise UsageError(f"that is not {deletable:,}; nothing was approved")
