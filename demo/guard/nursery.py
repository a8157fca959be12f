"""Imported by the fork server alone, before its first process: what all of them need is loaded, and the
environment is forgotten.
"""

import os

from demo.guard import exports, inside, sandbox  # noqa: F401 (jobs that a process would import anew)

inside.load()
for _name in list(os.environ):
    sandbox.wipe(_name)
