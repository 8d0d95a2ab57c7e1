"""The kinds of keepers, and how a test says that it is about some of them."""

import pytest

DATABASES = ("sqlite", "postgres")
DURABLE = ("memory", *DATABASES)
ALL = (*DURABLE, "fakeredis", "valkey")

#: Tests of what only durable keepers do: job records that outlive their sessions, and are pruned.
durable = pytest.mark.parametrize("keeper", DURABLE, indirect=True)
