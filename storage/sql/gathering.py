"""Prompts that arrive at once share a transaction: its locks, its statements and its sync to disk.

Nobody waits for company. While one group is on its way to the disk the next one gathers, so groups are as large as the
load makes them.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import Future

from domain.errors import PromptqError, StoreIncompatible, StoreUnavailable
from domain.prompts import Admission
from storage.sql import admission
from storage.sql.admission import Arrival, Outcome, Terms
from storage.sql.transactions import Transactions, Tx, is_for_a_lock

MOST_TOGETHER = 128
"""Prompts in one group: locks are held for milliseconds."""

MOST_GROUPS = 2
"""Groups under way: one asks the database while another waits for its disk."""

NAME = "admit"
"""The transactions' name, for failpoints."""

Waiting = tuple[Arrival, "Future[Admission]"]


class Gathering:
    """Takes prompts from any thread, and answers each when it is kept."""

    def __init__(self, transactions: Transactions, terms: Terms) -> None:
        self._transactions = transactions
        self._terms = terms
        self._lock = threading.Lock()
        self._waiting: deque[Waiting] = deque()
        #: Whether a transaction has been asked for that has not begun yet, and how many have begun.
        self._asked = False
        self._under_way = 0

    def take(self, arrival: Arrival) -> Future[Admission]:
        """Have a prompt taken; returns at once. The future fails as `Store.admit` does; nobody may cancel it."""
        answer: Future[Admission] = Future()
        answer.set_running_or_notify_cancel()
        with self._lock:
            self._waiting.append((arrival, answer))
            ask = self._may_ask()
        if ask:
            self._ask()
        return answer

    def _may_ask(self) -> bool:
        """Decide, under the lock, whether one more transaction is wanted."""
        if self._asked or not self._waiting or self._under_way == MOST_GROUPS:
            return False
        self._asked = True
        return True

    def _ask(self) -> None:
        group: list[Waiting] = []

        def work(tx: Tx) -> list[Outcome]:
            if not group:  # else it is tried again
                group.extend(self._begin())
            return admission.admit_together(tx, [arrival for arrival, _ in group], self._terms)

        def done(future: Future[list[Outcome]]) -> None:
            # A transaction that never began, because the database is away, is the answer to all who wait for one.
            self._end(group or self._begin(everybody=True), future)

        self._transactions.write_soon(NAME, work).add_done_callback(done)

    def _begin(self, *, everybody: bool = False) -> list[Waiting]:
        with self._lock:
            self._asked = False
            self._under_way += 1
            most = len(self._waiting) if everybody else MOST_TOGETHER
            group = [self._waiting.popleft() for _ in range(min(len(self._waiting), most))]
            more = self._may_ask()
        if more:
            self._ask()
        return group

    def _end(self, group: list[Waiting], future: Future[list[Outcome]]) -> None:
        with self._lock:
            self._under_way -= 1
            more = self._may_ask()
        if more:
            self._ask()
        error = future.exception()
        if error is None:
            for (arrival, answer), outcome in zip(group, future.result(), strict=True):
                if outcome is None:
                    self._take_alone(arrival, answer)
                else:
                    _settle(answer, outcome)
        elif isinstance(error, StoreUnavailable | StoreIncompatible) and not is_for_a_lock(error):
            for _, answer in group:
                answer.set_exception(error)
        else:
            # Something about one of them, which is not to be the others' trouble.
            for arrival, answer in group:
                self._take_alone(arrival, answer)

    def _take_alone(self, arrival: Arrival, answer: Future[Admission]) -> None:
        def done(future: Future[Admission]) -> None:
            error = future.exception()
            if error is None:
                answer.set_result(future.result())
            else:
                answer.set_exception(error)

        def work(tx: Tx) -> Admission:
            return admission.admit(tx, arrival, self._terms)

        self._transactions.write_soon(NAME, work, waits=True).add_done_callback(done)


def _settle(answer: Future[Admission], outcome: Admission | PromptqError) -> None:
    if isinstance(outcome, PromptqError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)
