"""Calls of the database: few at once, and each gets its own result."""

import asyncio
import threading
import time

import pytest

from prefprior.studio.calls import Calls


def test_calls_beyond_the_limit_wait_for_their_turn() -> None:
    running, most, one = 0, 0, threading.Lock()

    def call(number: int, *, twice: bool) -> int:
        nonlocal running, most
        with one:
            running += 1
            most = max(most, running)
        time.sleep(0.02)
        with one:
            running -= 1
        return 2 * number if twice else number

    async def run() -> list[int]:
        calls = Calls(3)
        return await asyncio.gather(*(calls(call, number, twice=True) for number in range(12)))

    assert asyncio.run(run()) == [2 * number for number in range(12)]
    assert most == 3


def test_a_call_that_fails_leaves_its_place() -> None:
    def fail() -> None:
        raise ValueError("no")

    async def run() -> int:
        calls = Calls(1)
        with pytest.raises(ValueError, match="no"):
            await calls(fail)
        return await calls(int, "7")

    assert asyncio.run(asyncio.wait_for(run(), 10)) == 7
