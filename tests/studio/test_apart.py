"""Looks in a process of their own are those of a thread, and outlive neither the studio nor themselves."""

import gc
import os
import signal
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from prefprior.elicitation.belief import Belief
from prefprior.elicitation.cast import Cast, Pool
from prefprior.elicitation.questions import Kind, Question
from prefprior.studio.apart import Apart, looked
from prefprior.studio.worker import BusyError


@pytest.fixture(scope="module")
def apart(cast: Cast, pool: Pool) -> Iterator[Apart]:
    """A fresh Python takes seconds: one for all tests."""
    made = Apart(cast, pool)
    yield made
    made.close()


def believed(cast: Cast, pool: Pool, answers: int) -> Belief:
    found = Belief(cast.tastes, pool.raw_ND, pool.utility_PN, cast.model, cast.moves, favourite_PK=pool.favourite_PK)
    for first in range(0, 3 * answers, 3):
        items = (first, first + 1, first + 2)
        found.observe(Question(Kind(3), items).chosen(items[:1]))
    return found


def require_same(one: Belief, other: Belief) -> None:
    assert torch.equal(one.tastes.imagined_PVD, other.tastes.imagined_PVD)
    assert torch.equal(one.utility_PN, other.utility_PN)
    assert torch.equal(one.weight_P, other.weight_P)
    assert one.answers == other.answers
    assert one.favourite_PK is not None
    assert other.favourite_PK is not None
    assert torch.equal(one.favourite_PK, other.favourite_PK)


def test_looks_are_those_of_a_thread(apart: Apart, cast: Cast, pool: Pool) -> None:
    base = believed(cast, pool, 4)
    first = apart.look(base, 7)
    require_same(first, looked(base, 7))
    require_same(apart.look(first, 8), looked(looked(base, 7), 8))
    assert first.tastes.likes is cast.tastes.likes, "what is shared is sent once, and named after that"
    assert len(base.answers) == 4
    assert base.utility_PN is pool.utility_PN


def test_an_error_is_told(apart: Apart, cast: Cast, pool: Pool) -> None:
    wrong = believed(cast, pool, 2)
    wrong.log_weight_P = wrong.log_weight_P * torch.nan
    with pytest.raises(RuntimeError, match="probability"):
        apart.look(wrong, 7)
    require_same(apart.look(believed(cast, pool, 2), 7), looked(believed(cast, pool, 2), 7))


def test_a_process_that_was_killed_is_started_again(apart: Apart, cast: Cast, pool: Pool) -> None:
    base = believed(cast, pool, 3)
    apart.look(base, 7)
    assert apart._process is not None
    os.kill(apart._process.pid, signal.SIGKILL)
    require_same(apart.look(base, 7), looked(base, 7))


def test_it_begins_with_the_first_look_and_ends_when_it_is_closed(cast: Cast, pool: Pool) -> None:
    made = Apart(cast, pool)
    assert made._process is None
    base = believed(cast, pool, 2)
    require_same(made.look(base, 7), looked(base, 7))
    process = made._process
    assert process is not None
    made.close()
    assert process.poll() is not None
    with pytest.raises(BusyError, match="closing"):
        made.look(base, 7)
    never = Apart(cast, pool)
    never.close()
    with pytest.raises(BusyError, match="closing"):
        never.look(base, 7)


def test_closing_waits_for_no_look(cast: Cast, pool: Pool) -> None:
    made, base = Apart(cast, pool), believed(cast, pool, 2)
    made.look(base, 7)
    assert made._process is not None
    os.kill(made._process.pid, signal.SIGSTOP)  # as if other work left it no processor
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(made.look, base, 8)
        while not made._one.locked():
            time.sleep(0.01)
        made.close()
        with pytest.raises(BusyError, match="closing"):
            waiting.result(timeout=60)


def test_it_ends_with_the_checkpoint(cast: Cast, pool: Pool) -> None:
    made = Apart(cast, pool)
    made.look(believed(cast, pool, 2), 7)
    process, gone = made._process, weakref.ref(made)
    assert process is not None
    del made
    gc.collect()
    assert gone() is None
    assert process.poll() is not None
