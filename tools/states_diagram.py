"""The diagram and the table of moves in docs/how-it-works.md, from jobs/words/states.py."""

from itertools import groupby

from jobs.words.states import ARROWS, TERMINAL, State


def render() -> str:
    """Return the diagram, which leaves out moves that lead back to the same state, and the table, which does not."""
    first = State.QUEUED, State.AWAITING_APPROVAL, State.PLANNING, State.FAILED
    lines = ["```mermaid", "stateDiagram-v2", *(f"  [*] --> {state}" for state in first)]
    seen = [arrow for arrow in ARROWS if arrow.to is not arrow.state]
    for (state, to), arrows in groupby(seen, lambda arrow: (arrow.state, arrow.to)):
        lines.append(f"  {state} --> {to}: {', '.join(arrow.event for arrow in arrows)}")
    lines += [f"  {state} --> [*]" for state in State if state in TERMINAL]
    lines += ["```", "", "| from | event | to | who moves it, and why |", "|---|---|---|---|"]
    lines += [f"| `{arrow.state}` | `{arrow.event}` | `{arrow.to}` | {arrow.cause} |" for arrow in ARROWS]
    return "\n".join(lines)
