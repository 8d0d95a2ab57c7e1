"""Sessions: named by their callers, made once, listed in pages, forked, deleted."""

from concurrent.futures import ThreadPoolExecutor

from tests.api.conftest import Api, a_prompt


def test_a_session_is_created_once_and_then_returned(api: Api) -> None:
    first = api.post("/session", {"id": "ses_a", "title": "A", "metadata": {"k": [1, None]}})
    again = api.post("/session", {"id": "ses_a", "title": "A", "metadata": {"k": [1, None]}})
    assert (first.status_code, first.headers["promptq-session"]) == (200, "created")
    assert (again.status_code, again.headers["promptq-session"]) == (200, "resumed")
    assert first.json() == again.json() == api.get("/session/ses_a").json()
    assert first.json()["title"] == "A"
    assert first.json()["metadata"] == {"k": [1, None]}


def test_a_session_without_a_name_gets_one(api: Api) -> None:
    one, two = api.client.post("/session").json(), api.post("/session", {}).json()
    assert one["id"] != two["id"]
    assert one["id"].startswith("ses_")
    assert one["title"].startswith("New session - ")


def test_other_parameters_for_the_same_name_are_a_conflict_that_lists_them(api: Api) -> None:
    api.post("/session", {"id": "ses_a", "title": "A", "agent": "plan", "onFailure": "stop"})
    answer = api.post("/session", {"id": "ses_a", "title": "B", "agent": "build", "metadata": {}})
    assert answer.status_code == 409
    assert answer.json()["name"] == "ConflictError"
    assert answer.json()["data"]["fields"] == ["agent", "title"]


def test_only_fields_that_both_sides_gave_are_compared(api: Api) -> None:
    api.post("/session?directory=/one", {"id": "ses_a", "title": "A"})
    answer = api.post("/session?directory=/two", {"id": "ses_a", "agent": "plan"})
    assert answer.status_code == 200
    assert answer.json()["directory"] == "/one"


def test_a_caller_may_insist_on_a_new_session(api: Api) -> None:
    assert api.post("/session", {"id": "ses_a", "ifExists": "error"}).status_code == 200
    assert api.post("/session", {"id": "ses_a", "ifExists": "error"}).status_code == 409


def test_a_session_that_a_prompt_made_takes_the_parameters_of_the_first_creation_after_it(api: Api) -> None:
    api.prompt("ses_a")
    answer = api.post("/session", {"id": "ses_a", "title": "A", "model": {"providerID": "echo", "id": "echo"}})
    assert answer.status_code == 200
    assert answer.json()["title"] == "A"
    assert answer.json()["model"] == {"providerID": "echo", "id": "echo"}
    assert api.post("/session", {"id": "ses_a", "title": "B"}).status_code == 409


def test_concurrent_creations_of_one_name_give_one_session(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: api.post("/session", {"id": "ses_a", "title": "A"}), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert [answer.headers["promptq-session"] for answer in answers].count("created") == 1
    assert len(api.get("/session").json()) == 1


def test_a_session_keeps_its_place_permission_and_parent(api: Api) -> None:
    rules = [{"permission": "bash", "pattern": "*", "action": "deny"}]
    api.post("/session", {"id": "ses_p"})
    answer = api.post(
        "/session?directory=/srv/repo&workspace=wrk_1", {"id": "ses_a", "parentID": "ses_p", "permission": rules}
    )
    assert answer.json()["permission"] == rules
    assert answer.json()["directory"] == "/srv/repo"
    assert answer.json()["workspaceID"] == "wrk_1"
    assert [child["id"] for child in api.get("/session/ses_p/children").json()] == ["ses_a"]
    assert [root["id"] for root in api.get("/session?roots=true").json()] == ["ses_p"]


def test_a_parent_must_exist(api: Api) -> None:
    answer = api.post("/session", {"id": "ses_a", "parentID": "ses_none"})
    assert answer.status_code == 400
    assert answer.json()["field"] == "parentID"


def test_a_session_is_changed(api: Api) -> None:
    api.post("/session", {"id": "ses_a", "title": "A"})
    answer = api.client.patch("/session/ses_a", json={"title": "B", "metadata": {"x": 1}, "time": {"archived": 5}})
    assert answer.status_code == 200
    assert answer.json()["title"] == "B"
    assert answer.json()["time"]["archived"] == 5
    assert api.client.patch("/session/ses_a", json={}).json() == answer.json()
    assert api.client.patch("/session/ses_none", json={"title": "B"}).status_code == 404


def test_what_is_not_there_is_not_found(api: Api) -> None:
    api.post("/session", {"id": "ses_a"})
    for path in ("/session/ses_b", "/session/ses_b/children", "/session/ses_b/message", "/session/ses_a/message/msg_x"):
        answer = api.get(path)
        assert answer.status_code == 404, path
        assert answer.json()["name"] == "NotFoundError"
        assert answer.json()["data"]["message"]
    for path in ("/session/ses_b/fork", "/session/ses_b/abort"):
        assert api.post(path).status_code == 404
    assert api.client.delete("/session/ses_b").status_code == 404
    assert api.post("/session/ses_a/fork", {"messageID": "msg_x"}).status_code == 404


def test_sessions_are_listed_in_pages_that_lead_on(api: Api) -> None:
    for number in range(5):
        api.post("/session", {"id": f"ses_{number}", "title": f"Turn {number}"})
    whole = [session["id"] for session in api.get("/session").json()]
    assert sorted(whole) == [f"ses_{number}" for number in range(5)]
    paged: list[str] = []
    path = "/session?limit=2"
    while path:
        answer = api.get(path)
        paged += [session["id"] for session in answer.json()]
        following = answer.links.get("next", {}).get("url", "")
        assert ("x-next-cursor" in answer.headers) == bool(following)
        path = following.removeprefix("http://localhost:4096")
    assert paged == whole
    assert [session["id"] for session in api.get("/session?search=tUrn+3").json()] == ["ses_3"]
    assert api.get("/session?start=9007199254740991").json() == []
    assert len(api.get("/session?start=0&path=&scope=project").json()) == 5


def test_a_fork_copies_the_committed_turns_before_a_message(api: Api) -> None:
    for number in range(3):
        api.prompt("ses_a", f"prompt {number}", messageID=f"msg_{number}")
    api.worker.run()
    api.prompt("ses_a", "open")
    whole = api.post("/session/ses_a/fork", {"id": "ses_b"})
    part = api.post("/session/ses_a/fork", {"id": "ses_c", "messageID": "msg_2"})
    assert (whole.status_code, part.status_code) == (200, 200)
    said = [
        [part["text"] for message in api.get(f"/session/{name}/message").json() for part in message["parts"]]
        for name in ("ses_b", "ses_c")
    ]
    assert len(said[0]) == 6
    assert said[1] == said[0][:4]
    messages = api.get("/session/ses_b/message").json()
    assert not {message["info"]["id"] for message in messages} & {"msg_0", "msg_1", "msg_2"}
    assert messages[1]["info"]["parentID"] == messages[0]["info"]["id"]
    assert api.post("/session/ses_a/fork").json()["id"].startswith("ses_")


def test_the_same_fork_again_is_the_same_session_and_another_is_a_conflict(api: Api) -> None:
    api.prompt("ses_a", messageID="msg_1")
    api.worker.run()
    assert api.post("/session/ses_a/fork", {"id": "ses_b"}).headers["promptq-session"] == "created"
    assert api.post("/session/ses_a/fork", {"id": "ses_b"}).headers["promptq-session"] == "resumed"
    assert api.post("/session/ses_a/fork", {"id": "ses_b", "messageID": "msg_1"}).status_code == 409
    assert api.post("/session/ses_b/fork", {"id": "ses_a"}).status_code == 409


def test_deleting_ends_a_session_and_frees_its_name(api: Api) -> None:
    kept = api.prompt("ses_a", messageID="msg_1")
    answer = api.client.delete("/session/ses_a")
    assert (answer.status_code, answer.json()) == (200, True)
    assert api.get("/session/ses_a").status_code == 404
    assert api.job(kept)["state"] == "cancelled"
    again = api.prompt("ses_a", messageID="msg_1")
    assert again.headers["promptq-session"] == "created"
    assert again.headers["location"] != kept.headers["location"]


def test_a_prompt_to_a_session_deleted_meanwhile_makes_a_new_one_or_fails_if_it_may_not(api: Api) -> None:
    api.post("/session", {"id": "ses_a"})
    api.client.delete("/session/ses_a")
    answer = api.post("/session/ses_a/prompt_async", a_prompt(ifMissing="fail"))
    assert answer.status_code == 404
    assert api.get("/session").json() == []
    assert api.prompt("ses_a").headers["promptq-session"] == "created"


def test_aborting_cancels_all_that_is_open(api: Api) -> None:
    kept = [api.prompt("ses_a", f"{number}") for number in range(3)]
    running = api.worker.claim_one()
    answer = api.post("/session/ses_a/abort")
    assert (answer.status_code, answer.json()) == (200, True)
    assert [api.job(each)["state"] for each in kept] == ["running", "cancelled", "cancelled"]
    assert api.store.look("w1", [(running.tenant, running.id, 1)]).cancelled == {running.id}


def test_the_status_of_busy_sessions_is_told(api: Api) -> None:
    assert api.get("/session/status").json() == {}
    api.prompt("ses_a")
    api.prompt("ses_b")
    assert api.get("/session/status").json() == {"ses_a": {"type": "busy"}, "ses_b": {"type": "busy"}}
    api.worker.run()
    assert api.get("/session/status").json() == {}
