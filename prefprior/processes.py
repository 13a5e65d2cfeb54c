"""The processes of one run on one machine: how many it bears, and that none outlives the one that started it."""

import os
import threading
import time

_PARENT = "PREFPRIOR_PARENT"  # in the environment: the id of the process from which Lightning starts the others
_SECONDS = 1.0


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def end_with_parent() -> None:
    """Has a process that Lightning started end when the one that started it is gone.

    Killed, that one cannot tell; the others would wait for its next message for half an hour.
    """
    if os.environ.get("LOCAL_RANK", "0") == "0":
        os.environ[_PARENT] = str(os.getpid())
    elif _PARENT in os.environ and "TORCHELASTIC_RUN_ID" not in os.environ:  # torchrun looks after its own
        parent = int(os.environ[_PARENT])
        threading.Thread(target=_watch, args=(parent,), name="end with parent", daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)  # at once: other threads may be inside calls that do not come back
