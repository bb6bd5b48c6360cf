"""Newsreel: one press photograph and a scenario prompt become a six-second clip."""

import os

__version__ = "0.1.0"

# Threads of torch that wait for each other sleep in place of spinning, which took the cores from
# scoring and encoding beside them: enlarging and scoring a clip cost 12 to 15 processor-seconds
# spinning, 7 sleeping. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
