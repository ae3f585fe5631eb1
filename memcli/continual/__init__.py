"""Continual learning: tasks arrive one at a time, and only their memories remain. `memcli continual` runs it.

From Python, on any `memcli.continual.tasks.Stream`: `plan_for`, `opened`, `run_stream`.
"""

from memcli.continual.folder import Folder, opened
from memcli.continual.learn import learn_task, retrain_all
from memcli.continual.measure import Figures
from memcli.continual.plan import Plan, plan_for
from memcli.continual.run import run_stream

__all__ = ["Figures", "Folder", "Plan", "learn_task", "opened", "plan_for", "retrain_all", "run_stream"]
