"""Runs: starting, resuming, executing, finding and reading them."""

from mlcore.runs.attempt import Attempt, Attempts
from mlcore.runs.find import find_run, list_runs, run_at
from mlcore.runs.interrupt import Interruption, interruptible
from mlcore.runs.job import Job, execute_job, plan_job, resume_job, run_file, start_job
from mlcore.runs.run import Header, Restored, Run, current_run
from mlcore.runs.runner import Name, Runner, RunSettings
from mlcore.runs.start import resume_run, start_run
from mlcore.runs.view import Metric, RunView

__all__ = [
    "Attempt",
    "Attempts",
    "Header",
    "Interruption",
    "Job",
    "Metric",
    "Name",
    "Restored",
    "Run",
    "RunSettings",
    "RunView",
    "Runner",
    "current_run",
    "execute_job",
    "find_run",
    "interruptible",
    "list_runs",
    "plan_job",
    "resume_job",
    "resume_run",
    "run_at",
    "run_file",
    "start_job",
    "start_run",
]
