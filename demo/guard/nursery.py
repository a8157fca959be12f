"""Imported only by the fork server, before it starts its first process: loads what all processes need, and
clears the environment.
"""

import os

from demo.guard import exports, inside, sandbox  # noqa: F401 (jobs that a process would import anew)

inside.load()
for _name in list(os.environ):
    sandbox.wipe(_name)
