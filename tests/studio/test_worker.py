"""The worker: one job at a time, a bounded queue, errors told to whoever waits."""

import threading
from collections.abc import Iterator

import pytest

from prefprior.studio.worker import BusyError, Worker


@pytest.fixture
def worker() -> Iterator[Worker[str]]:
    made = Worker("held", name="inference", waiting=2)
    yield made
    made.close()


def test_jobs_run_in_order_in_one_thread(worker: Worker[str]) -> None:
    names = [worker.submit(lambda each: threading.current_thread().name).result() for _ in range(3)]
    assert names == ["inference"] * 3
    assert worker.submit(lambda held: held).result() == "held"


def test_a_full_queue_refuses(worker: Worker[str]) -> None:
    started, go = threading.Event(), threading.Event()

    def wait(held: str) -> bool:
        started.set()
        return go.wait()

    first = worker.submit(wait)
    started.wait()
    waiting = [worker.submit(lambda _: 1) for _ in range(2)]
    with pytest.raises(BusyError):
        worker.submit(lambda _: 1)
    assert waiting[1].cancel()
    go.set()
    assert first.result()
    assert waiting[0].result() == 1


def test_an_error_ends_its_job_and_no_other(worker: Worker[str]) -> None:
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda _: 1 / 0).result()
    assert worker.submit(lambda _: 1).result() == 1


def test_a_closed_worker_finishes_what_waits_and_takes_no_more(worker: Worker[str]) -> None:
    future = worker.submit(lambda _: 1)
    worker.close()
    assert future.result() == 1
    with pytest.raises(BusyError):
        worker.submit(lambda _: 1)
