"""OpenAI's Files, Batches, Models and Chat Completions, under `/v1`: its shapes, and its shape of errors.

OpenAI's document describes these routes, so promptq's own (`GET /doc`) leaves them out; `docs/bulk.md` lists the
differences, and what is promptq's own.
"""
