"""An encoder that would make the process a real-time one does not."""

import os
import sys

import pytest

from src.media.encoders import works
from src.media.priority import TASKS, kept_priority

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets threads be asked")


def policies() -> set[int]:
    return {os.sched_getscheduler(int(folder.name)) for folder in TASKS.iterdir()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may have threads of real time")
def test_threads_keep_the_scheduling_that_they_had():
    with kept_priority():
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        assert os.SCHED_FIFO in policies()
    assert policies() == {os.SCHED_OTHER}


@pytest.mark.skipif(not works("libsvtav1"), reason="this build has no SVT-AV1")
def test_to_ask_for_an_encoder_changes_nothing():
    works.cache_clear()
    assert works("libsvtav1")
    assert policies() == {os.SCHED_OTHER}
