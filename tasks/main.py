"""The app by the name that a command line needs: `celery -A tasks.main:app worker --without-gossip --without-mingle`.

promptq has no use for gossip and mingle: mingle costs a second at every connection, and a worker whose broker is away
cannot end in good order with gossip (Celery 5.7.0: `AttributeError … 'connection_errors'`). Nothing else imports this.
"""

from __future__ import annotations

from domain.settings import Settings
from tasks.app import make_celery

app = make_celery(Settings())
