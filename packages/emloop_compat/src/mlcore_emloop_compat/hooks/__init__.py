"""Loop hooks. A config names them without their module."""

from mlcore_emloop_compat.hooks.abstract_hook import AbstractHook, TrainingTerminated
from mlcore_emloop_compat.hooks.accumulate_variables import AccumulateVariables
from mlcore_emloop_compat.hooks.compute_stats import ComputeStats
from mlcore_emloop_compat.hooks.log_variables import LogVariables
from mlcore_emloop_compat.hooks.save import SaveBest, SaveLatest
from mlcore_emloop_compat.hooks.show_progress import ShowProgress
from mlcore_emloop_compat.hooks.stop_after import StopAfter
from mlcore_emloop_compat.hooks.stop_on_nan import StopOnNaN
from mlcore_emloop_compat.hooks.training_trace import TrainingTrace

__all__ = [
    "AbstractHook",
    "AccumulateVariables",
    "ComputeStats",
    "LogVariables",
    "SaveBest",
    "SaveLatest",
    "ShowProgress",
    "StopAfter",
    "StopOnNaN",
    "TrainingTerminated",
    "TrainingTrace",
]
