"""Jobs: shown with what they wait for, cancelled, retried, listed."""

from domain.jobs import Failure, Outcome
from tests.api.conftest import Api, a_prompt


def test_a_queued_job_says_what_it_waits_for(api: Api) -> None:
    first, second = api.prompt(text="1"), api.prompt(text="2")
    assert api.job(first)["waiting"] == {"for": "worker"}
    assert api.job(second)["waiting"] == {"for": "session", "jobID": api.job(first)["id"]}
    api.worker.claim_one()
    assert "waiting" not in api.job(first)


def test_an_ended_job_tells_its_attempts_usage_and_error(api: Api) -> None:
    answer = api.prompt()
    api.worker.finish(api.worker.claim_one(), Outcome.RETURNED)
    api.worker.finish(
        api.worker.claim_one(), Outcome.FAILED, failure=Failure("provider_error", "no", status=402, from_provider=True)
    )
    job = api.job(answer)
    assert job["state"] == "failed"
    assert job["error"] == {"code": "provider_error", "message": "no"}
    assert [(attempt["number"], attempt["outcome"]) for attempt in job["attempts"]] == [(1, "returned"), (2, "failed")]
    assert job["attempt"] == 2
    assert job["charges"] == 1
    message = api.get(f"/session/ses_a/message/{job['assistantID']}").json()
    assert message["info"]["error"] == {
        "name": "APIError",
        "data": {"message": "no", "isRetryable": False, "statusCode": 402},
    }


def test_a_queued_job_is_cancelled_at_once_and_the_next_one_is_told(api: Api) -> None:
    first, second = api.prompt(text="1"), api.prompt(text="2")
    rings = api.bell.rings
    answer = api.post(f"{first.headers['location']}/cancel")
    assert (answer.status_code, answer.json()["state"]) == (200, "cancelled")
    assert api.bell.rings > rings
    assert api.job(second)["waiting"] == {"for": "worker"}
    assert api.post(f"{first.headers['location']}/cancel").json() == answer.json()


def test_a_job_that_ended_without_success_is_retried_as_a_new_one_at_the_tail(api: Api) -> None:
    first = api.prompt(text="1")
    api.worker.finish(api.worker.claim_one(), Outcome.FAILED, failure=Failure("x", "y"))
    key = {"Idempotency-Key": "again"}
    answer = api.post(f"{first.headers['location']}/retry", headers=key)
    assert answer.status_code == 201
    job = answer.json()
    assert answer.headers["location"] == f"/job/{job['id']}"
    assert job["retryOf"] == api.job(first)["id"]
    assert job["seq"] == 2
    assert api.post(f"{first.headers['location']}/retry", headers=key).json()["id"] == job["id"]
    assert api.worker.run() == [job["id"]]
    assert api.post(f"/job/{job['id']}/retry").status_code == 409


def test_an_open_job_is_not_retried(api: Api) -> None:
    answer = api.post(f"{api.prompt().headers['location']}/retry")
    assert answer.status_code == 409
    assert answer.json()["name"] == "ConflictError"


def test_unknown_jobs_are_not_found(api: Api) -> None:
    for call in (api.get, api.post):
        for verb in ("", "/cancel", "/retry", "/wait"):
            answer = call(f"/job/job_none{verb}")
            assert answer.status_code in (404, 405), (call, verb)
            assert answer.json()["data"]["message"]
    assert api.get("/job/job_none").json()["name"] == "NotFoundError"
    assert api.get("/job/other").status_code == 400


def test_jobs_are_listed_newest_first_by_state_session_and_page(api: Api) -> None:
    made = [api.job(api.prompt(f"ses_{number % 2}", str(number)))["id"] for number in range(5)]
    api.worker.finish(api.worker.claim_one())
    listed = [job["id"] for job in api.get("/job").json()]
    assert sorted(listed) == sorted(made)
    assert len(api.get("/job?state=succeeded").json()) == 1
    assert len(api.get("/job?state=succeeded,queued").json()) == 5
    assert len(api.get("/job?state=succeeded&state=queued").json()) == 5
    assert len(api.get("/job?sessionID=ses_1").json()) == 2
    assert api.get("/job?batchID=batch_1").json() == []
    one = api.get("/job?limit=3")
    two = api.get("/job", params={"limit": 3, "cursor": one.headers["x-next-cursor"]})
    assert [job["id"] for job in one.json() + two.json()] == listed
    assert "x-next-cursor" not in two.headers
    assert api.get("/job?cursor=nonsense").json()["data"]["field"] == "cursor"


def test_the_jobs_of_a_deleted_session_stay_without_content(api: Api) -> None:
    answer = api.prompt()
    api.worker.finish(api.worker.claim_one(), Outcome.FAILED, failure=Failure("provider_error", "secret words"))
    api.client.delete("/session/ses_a")
    assert "secret" not in api.get(answer.headers["location"]).text
    assert api.post(f"{answer.headers['location']}/retry").status_code == 404


def test_a_session_that_stops_on_failure_cancels_what_is_behind(api: Api) -> None:
    api.post("/session", {"id": "ses_a", "onFailure": "stop"})
    kept = [api.post("/session/ses_a/prompt_async", a_prompt(str(number))) for number in range(3)]
    api.worker.finish(api.worker.claim_one(), Outcome.FAILED, failure=Failure("x", "y"))
    assert [api.job(each)["state"] for each in kept] == ["failed", "cancelled", "cancelled"]
    assert api.prompt(text="on").status_code == 204
