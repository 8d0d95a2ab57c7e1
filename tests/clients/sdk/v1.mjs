// The JavaScript SDK, its first entry.
import assert from "node:assert/strict"
import { createOpencodeClient } from "@opencode-ai/sdk"
import { events, ok, refused, said, text, url } from "./steps.mjs"

const client = createOpencodeClient({ baseUrl: url, directory: "/home/me" })
const path = { id: "ses_v1" }

// A session named by the caller, made once by fifty that ask at once.
const create = () => client.session.create({ body: { id: "ses_v1", title: "One" } })
const made = await Promise.all(Array.from({ length: 50 }, create))
assert.equal(new Set(made.map((each) => each.data.id)).size, 1)
assert.equal(made.filter((each) => each.response.headers.get("promptq-session") === "created").length, 1)
assert.equal(made[0].data.directory, "/home/me")
assert.equal((await refused(client.session.create({ body: { id: "ses_v1", title: "Two" } }), 409)).name, "ConflictError")

// A prompt and its answer; the same again is the same.
const body = { messageID: "msg_v1", parts: text("hello") }
const answer = await ok(client.session.prompt({ path, body }))
assert.equal(answer.info.role, "assistant")
assert.equal(said([answer])[0], "hello")
assert.equal((await ok(client.session.prompt({ path, body }))).info.id, answer.info.id)
assert.deepEqual(said(await ok(client.session.messages({ path }))), ["hello", "hello"])

// A prompt to a session that nobody has made, watched in both streams.
for (const subscribe of [() => client.event.subscribe(), () => client.global.event()]) {
  const id = `ses_v1_${Math.random().toString(36).slice(2)}`
  const of = (event) => event.payload ?? event
  const { stream } = await subscribe()
  const seen = await events(
    stream,
    (event) => of(event).type === "session.idle" && of(event).properties.sessionID === id,
    () => ok(client.session.promptAsync({ path: { id }, body: { parts: text("one two three") } })),
  )
  const types = seen.map((event) => of(event).type)
  for (const type of ["server.connected", "session.updated", "message.updated", "message.part.updated", "session.status"])
    assert.ok(types.includes(type), type)
  assert.deepEqual(said(await ok(client.session.messages({ path: { id } }))), ["one two three", "one two three"])
}

// Aborted while it runs.
const slow = { path: { id: "ses_v1_slow" }, body: { parts: text("x"), metadata: { echo: { stall: true } } } }
const waiting = client.session.prompt(slow)
while (!(await ok(client.session.status()))["ses_v1_slow"]) await new Promise((done) => setTimeout(done, 50))
assert.equal(await ok(client.session.abort({ path: slow.path })), true)
assert.equal((await ok(waiting)).info.error.name, "MessageAbortedError")

// Forked, renamed, listed, deleted.
const fork = await ok(client.session.fork({ path, body: {} }))
assert.deepEqual(said(await ok(client.session.messages({ path: { id: fork.id } }))), ["hello", "hello"])
assert.equal((await ok(client.session.update({ path, body: { title: "Three" } }))).title, "Three")
assert.ok((await ok(client.session.list())).some((each) => each.id === fork.id && each.title === "One (fork)"))
assert.equal(await ok(client.session.delete({ path })), true)
assert.equal((await refused(client.session.get({ path: { id: "none" } }), 400))._tag, "InvalidRequestError")

// What is not offered says so.
assert.equal((await refused(client.session.share({ path: { id: fork.id } }), 501)).name, "NotOfferedError")
assert.equal((await ok(client.config.providers())).providers[0].id, "echo")
assert.equal((await ok(client.app.agents()))[0].name, "build")

// The streams are still open.
process.exit(0)
