"""Real processes that are killed and frozen under load, and a checker that reads what came of it.

Clients submit the same prompts under the same keys until each is kept; workers ask a model that writes down what it is
shown; an observer reads the database past promptq's own calls. What the three tell is one history, which
`tests.support.checker` holds to the invariants I1 to I6. `PROMPTQ_CRASH_SEED` repeats a run with other chances.
"""
