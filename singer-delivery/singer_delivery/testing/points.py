"""The named points at which a run is killed, and the orders passed to that process."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict, dataclass

VARIABLE = "STRIKE"
"""The variable of the environment that carries a :class:`Strike` into the process."""

LANE_HEADER = "x-lane"
"""Header that a struck target puts on its requests: ``<number of the run>/<lane>``."""

POINTS = {
    "reading_input": "a line of the input was read and not yet used",
    "before_intent": "a batch of events is chosen, nothing noted of it",
    "ledger_uncommitted": "the ledger's transaction is written and not committed",
    "intent_noted": "the intent is committed, the request not begun",
    "request_half_sent": "half of the request's body is on the wire",
    "answer_waiting": "the API has applied the request, its answer is unread",
    "answer_half_read": "the answer's head is read, its body not",
    "answer_read": "the answer is read, the outcome not in the ledger",
    "part_answered": "one half of a bisected batch is answered, the other not sent",
    "outcome_noted": "the outcome is in the ledger, nothing settled",
    "rejects_half_written": "half of the rejects' lines are written",
    "rejects_written": "the rejects are on the disk, the STATE behind them not written",
    "before_state": "a STATE is due, neither it nor the rejects before it are written",
    "state_half_written": "half of a STATE's line is written",
}


JOB_POINTS = {
    "job_taken": "the API has taken a job, nothing is noted of it",
    "job_noted": "the job is noted, nothing asked about it",
    "job_asked": "an answer about the job is read, nothing done with it",
    "job_finished": "the job's outcome is in the ledger, the job still noted",
}
"""Those of kinds that make jobs."""


@dataclass(frozen=True)
class Strike:
    """A kill when *point* is reached the *nth* time; *whole_pipe*: of the whole process group, tap and target."""

    point: str
    nth: int
    signum: int = signal.SIGKILL
    whole_pipe: bool = False


@dataclass(frozen=True)
class Orders:
    """Orders for a plugin under test: when to die, if at all, where to note it, and its run's number."""

    run: int
    noted_in: str
    strike: Strike | None = None
    sabotage: str = ""

    def environment(self) -> dict[str, str]:
        """The variables that carry the orders."""
        return os.environ | {VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def received(cls) -> Orders:
        """Read the orders of this process."""
        told = json.loads(os.environ[VARIABLE])
        strike = told.pop("strike")
        return cls(**told, strike=Strike(**strike) if strike else None)
