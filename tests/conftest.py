"""Two cores are shared by many small networks here: one thread each is faster than waiting for one another."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # read when torch loads, also in processes that tests start
