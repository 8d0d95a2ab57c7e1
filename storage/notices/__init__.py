"""Notices and events: what is told of a commit, after it and best effort.

A *notice* says "this job is now in that state", to those who wait for it; an *event* says what happened in a session,
to those who watch it. Both are hints: Redis may be away, a publish may be lost, and nobody may be listening. Whoever
depends on them re-reads the store now and then.
"""

from storage.notices.hearing import NoticeReader
from storage.notices.publishing import Notice, Notices

__all__ = ["Notice", "NoticeReader", "Notices"]
