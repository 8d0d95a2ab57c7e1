"""What exists only because OpenCode's clients ask for it: the rest of its HTTP API around sessions and prompts.

`docs/opencode.md` has a verdict on every path of OpenCode's document: served (here, or in `api`), served as empty
(`empty`), or not offered (`absent`). A test holds page, document and routes against each other. OpenCode's
document describes these routes, so promptq's own (`GET /doc`) leaves them out.
"""
