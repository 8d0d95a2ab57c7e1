"""The app by the name that a command line needs: `celery -A tasks.main:app worker`. Nothing else imports this."""

from __future__ import annotations

from domain.settings import Settings
from tasks.app import make_celery

app = make_celery(Settings())
