"""Makes `stm_core` importable piece by piece, for the guarded process only: its decoders need no torch.

`import stm_core` loads everything, torch included: half a second and 200 MB that every upload would pay
for.  Here the package is put in place without running its `__init__`, so that `from stm_core import video`
loads just that.  Imported first by the fork server (see demo.guard) and nowhere else.
"""

import sys
import types
from pathlib import Path

if "stm_core" not in sys.modules:
    package = types.ModuleType("stm_core")
    package.__path__ = [str(Path(__file__).parent.parent / "stm_core")]
    sys.modules["stm_core"] = package
