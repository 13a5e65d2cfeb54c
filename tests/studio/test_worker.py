"""The worker: one job at a time, a bounded queue, errors told to whoever waits."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future

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


@pytest.fixture
def blocked() -> Iterator[tuple[Worker[list[list[int]]], Callable[[], None]]]:
    """A worker that keeps what it was given, and has a job that ends when it is told to."""
    made, started, go = Worker[list[list[int]]]([], name="inference", waiting=100), threading.Event(), threading.Event()

    def wait(_: object) -> bool:
        started.set()
        return go.wait()

    made.submit(wait)
    started.wait()
    yield made, go.set
    go.set()
    made.close()


def tenfold(held: list[list[int]], parts: Sequence[int]) -> list[int | Exception]:
    held.append(list(parts))
    if 13 in parts:
        raise ZeroDivisionError
    return [KeyError(part) if part < 0 else 10 * part for part in parts]


def doubled(held: list[list[int]], parts: Sequence[int]) -> list[int]:
    return [2 * part for part in parts]


def test_what_waits_together_is_done_together(blocked: tuple[Worker[list[list[int]]], Callable[[], None]]) -> None:
    worker, go = blocked
    first = [worker.submit_together(tenfold, part) for part in range(3)]
    between = [worker.submit_together(doubled, 7), worker.submit(lambda held: len(held))]
    last = [worker.submit_together(tenfold, part) for part in range(3, 20) if part != 13]
    go()
    assert [each.result() for each in [*first, *last]] == [10 * part for part in range(20) if part != 13]
    assert [each.result() for each in between] == [14, 1], "in the order in which they came"
    sizes = [len(parts) for parts in worker.submit(lambda held: list(held)).result()]
    assert sizes == [3, 8, 8], "at most so many"


def test_an_error_ends_no_part_but_its_own(blocked: tuple[Worker[list[list[int]]], Callable[[], None]]) -> None:
    worker, go = blocked
    waiting = {part: worker.submit_together(tenfold, part) for part in (1, -2, 13, 4)}
    assert waiting[4].cancel()
    go()

    def told(future: "Future[int]") -> object:
        return future.result() if future.exception() is None else type(future.exception())

    assert {part: told(waiting[part]) for part in (1, -2, 13)} == {1: 10, -2: KeyError, 13: ZeroDivisionError}
    assert worker.submit(lambda held: held[0]).result() == [1, -2, 13], "what was cancelled is not done"
