"""All the ways in which promptq is broken on purpose."""

from tests.faults.mutations.mutant import Edit, Mutant

_FREEZES = ("worker frozen with ends in hand", "worker frozen")

_UNLOCKED = "{{name: found for name in {names} if (found := queue.find_session({tx}, *name, lock=False)) is not None}}"

MUTANTS = (
    Mutant(
        "no fencing clause",
        [
            Edit(
                "domain/lifecycle.py",
                "return job.state is State.RUNNING and job.attempt == attempt",
                "return job.state is State.RUNNING",
            )
        ],
        frozenset({"I1", "I2", "I3", "I4", "I5"}),
        "sqlite",
        _FREEZES,
    ),
    Mutant(
        "no reconcile",
        [
            Edit(
                "tasks/engine/duties.py",
                "    def _reconcile(self) -> None:\n        while not self._ending.is_set():",
                "    def _reconcile(self) -> None:\n        while False:",
            )
        ],
        frozenset({"I1"}),
        "sqlite",
        ("worker killed",),
        minutes=0.3,
    ),
    Mutant(
        "no unique key",
        [
            Edit("storage/sql/admission.py", "kept = of.kept.get(key)", "kept = None"),
            Edit(
                "storage/migrations/versions/r0001_spine.py",
                '"message", ["id", "session_id", "incarnation", "tenant"], unique=True',
                '"message", ["id", "session_id", "incarnation", "tenant"], unique=False',
            ),
            Edit(
                "storage/migrations/versions/r0001_spine.py",
                '["idempotency_key", "session_id", "incarnation", "tenant"],\n        unique=True',
                '["idempotency_key", "session_id", "incarnation", "tenant"],\n        unique=False',
            ),
        ],
        frozenset({"I6"}),
        "sqlite",
        ("API killed",),
    ),
    Mutant(
        "no row lock at admission",
        [
            Edit(
                "storage/sql/admission.py",
                "queue.lock_sessions(self._tx, names, skip_locked=self._skips)",
                _UNLOCKED.format(names="names", tx="self._tx"),
            )
        ],
        frozenset({"I1", "I3", "I6", "row 8"}),
        "postgres",
    ),
    Mutant(
        "TTL not refreshed under an open job",
        [
            Edit(
                "domain/ephemeral.py",
                "return LONGEST_OPEN_MS if session.open_total else session.ttl_ms or default_ttl_ms",
                "return session.ttl_ms or default_ttl_ms",
            )
        ],
        frozenset({"I1"}),
        "sqlite",
    ),
    Mutant(
        "events before commit",
        [
            Edit(
                "tasks/engine/exchanging.py",
                '        failpoint("engine.before_exchange")\n',
                "        from domain.jobs import State\n"
                "        done = [a for a in ended if a.end is not None and a.end.outcome is Outcome.SUCCEEDED]\n"
                "        early = [a.job.evolve(state=State.SUCCEEDED, ended=a.now()) for a in done]\n"
                "        told = [(job, job.attempt, a.runtime_s) for job, a in zip(early, done, strict=True)]\n"
                "        if told:\n"
                "            self._committed(Commit([], told, [], began=[], over=done))\n"
                '        failpoint("engine.before_exchange")\n',
            ),
            # Frozen after it has told, and before it has handed in.
            Edit(
                "tasks/engine/exchanging.py",
                "        try:\n            got =",
                "        time.sleep(0.1)\n        try:\n            got =",
            ),
        ],
        frozenset({"I7"}),
        "sqlite",
        _FREEZES,
        minutes=6,
    ),
    Mutant(
        "suspects run together",
        [
            Edit(
                "tasks/engine/exchanging.py",
                "suspects = 0 if self._slots.is_watching() else 1",
                "suspects = 1_000",
            )
        ],
        frozenset({"row 9"}),
        "sqlite",
        deadly=0.7,
        poisoned=True,
    ),
    Mutant(
        "the clock read before the lock",
        [Edit("storage/sql/transactions.py", "extract(epoch FROM clock_timestamp())", "extract(epoch FROM now())")],
        frozenset({"I3", "I4"}),
        "postgres",
        ("worker frozen in a transaction",),
    ),
    Mutant(
        "finish without the session's lock",
        [
            Edit(
                "storage/sql/exchange.py",
                "sessions = queue.lock_sessions(tx, ((each.tenant, each.session_id) for each in finished))",
                "names = {(each.tenant, each.session_id) for each in finished}\n    sessions = "
                + _UNLOCKED.format(names="names", tx="tx"),
            )
        ],
        frozenset({"I1", "I2", "I3", "I4"}),
        "postgres",
    ),
    Mutant(
        "half an answer taken for a whole one",
        [
            Edit(
                "tasks/engine/running.py",
                "if isinstance(error, TransientError):",
                'if error.code == "model_away":\n'
                "                outcome, failure = Outcome.SUCCEEDED, None\n"
                "            elif isinstance(error, TransientError):",
            ),
            Edit("tasks/engine/running.py", "if failure is None and not attempt.folding.is_whole:", "if False:"),
        ],
        frozenset({"I2"}),
        "sqlite",
    ),
    Mutant(
        "Retry-After not kept",
        [Edit("domain/retry.py", "floor = min(retry_after_ms or 0, LONGEST_RETRY_AFTER_MS)", "floor = 0")],
        frozenset({"row 14"}),
        "sqlite",
    ),
    Mutant(
        "prompts in the log",
        [
            Edit(
                "tasks/engine/running.py",
                '        failpoint("engine.start_jobs")\n',
                '        failpoint("engine.start_jobs")\n'
                '        log.info("began %s", [attempt.claimed.prompt.parts for attempt in attempts])\n',
            )
        ],
        frozenset({"I8"}),
        "sqlite",
    ),
    Mutant(
        "an answer of an ephemeral session without an expiry",
        [
            Edit(
                "storage/ephemeral/snapshots.py",
                '("SET", place, f"{session.tenant}\\x1f{session.id}"),',
                '("SET", place, f"{session.tenant}\\x1f{session.id}"),\n'
                '                ("APPEND", hash_key + ":copy", b"".join(c for c in _bytes_of(self._commands))),',
            ),
            Edit(
                "storage/ephemeral/snapshots.py",
                "class Snapshots:\n",
                "def _bytes_of(commands):\n"
                "    return [word for command in commands for word in command if isinstance(word, bytes)]\n\n\n"
                "class Snapshots:\n",
            ),
        ],
        frozenset({"I8"}),
        "sqlite",
    ),
)
