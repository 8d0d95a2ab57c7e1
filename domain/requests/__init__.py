"""What callers send, checked: request models that more than one door takes (HTTP, batch lines, a Celery task).

Nothing is accepted and ignored: an unknown field, a wrong type, a value out of range or a senseless combination is an
`InvalidRequest` that names the field, dotted. `docs/opencode.md` says of each field what is done with it.
"""
