// The JavaScript SDK, its second entry, on both of OpenCode's surfaces.
import assert from "node:assert/strict"
import { createOpencodeClient } from "@opencode-ai/sdk/v2"
import { events, ok, refused, said, text, url } from "./steps.mjs"

const client = createOpencodeClient({ baseUrl: url, directory: "/home/me" })
const sessionID = "ses_v2"

// The older surface. This entry drops what it does not know, unless it is told where it goes.
const made = await ok(client.session.create({ $body_id: sessionID, title: "One" }))
assert.equal(made.id, sessionID)
assert.equal(made.directory, "/home/me")
const answer = await ok(client.session.prompt({ sessionID, messageID: "msg_v2", parts: text("hello") }))
assert.equal(said([answer])[0], "hello")
const { stream } = await client.event.subscribe()
const seen = await events(
  stream,
  (event) => event.type === "session.idle" && event.properties.sessionID === "ses_v2_new",
  () => ok(client.session.promptAsync({ sessionID: "ses_v2_new", parts: text("one two") })),
)
assert.ok(seen.some((event) => event.type === "message.part.updated" && event.properties.part.text === "one two"))
assert.deepEqual(said(await ok(client.session.messages({ sessionID: "ses_v2_new" }))), ["one two", "one two"])
const slow = { sessionID: "ses_v2_slow", parts: text("x"), $body_metadata: { echo: { stall: true } } }
const waiting = client.session.prompt(slow)
while (!(await ok(client.session.status()))["ses_v2_slow"]) await new Promise((done) => setTimeout(done, 50))
await ok(client.session.abort({ sessionID: "ses_v2_slow" }))
assert.equal((await ok(waiting)).info.error.name, "MessageAbortedError")
const fork = await ok(client.session.fork({ sessionID }))
assert.deepEqual(said(await ok(client.session.messages({ sessionID: fork.id }))), ["hello", "hello"])
assert.equal(await ok(client.session.delete({ sessionID: fork.id })), true)

// The newer surface: a session made once by fifty that ask at once.
const create = () => client.v2.session.create({ id: "ses_newer", agent: "build" })
const all = await Promise.all(Array.from({ length: 50 }, create))
assert.ok(all.every((each) => each.data.data.id === "ses_newer"))
assert.equal(all.filter((each) => each.response.headers.get("promptq-session") === "created").length, 1)

// Prompts that queue, waited for.
const prompt = (id, more = {}) =>
  client.v2.session.prompt({ sessionID: "ses_newer", id, prompt: { text: id }, delivery: "queue", ...more })
const first = (await ok(prompt("msg_n1"))).data
await ok(prompt("msg_n2"))
assert.equal((await ok(prompt("msg_n1"))).data.admittedSeq, first.admittedSeq)
assert.equal((await refused(prompt("msg_n1", { prompt: { text: "other" } }), 409))._tag, "ConflictError")
assert.equal((await refused(prompt("msg_n3", { delivery: "steer" }), 400)).field, "delivery")
await ok(client.v2.session.wait({ sessionID: "ses_newer" }))
const messages = (await ok(client.v2.session.messages({ sessionID: "ses_newer" }))).data
assert.deepEqual(messages.map((each) => each.type), ["assistant", "user", "assistant", "user"])
assert.equal(messages[0].content[0].text, "msg_n2")

// Its durable events, by page and as a stream that begins after one of them.
const history = (await ok(client.v2.session.history({ sessionID: "ses_newer" }))).data
assert.equal(history[0].type, "session.next.prompt.admitted")
assert.equal(history.at(-1).type, "session.next.step.ended")
const after = String(history[2].durable.seq)
const durable = await client.v2.session.events({ sessionID: "ses_newer", after })
const replayed = await events(
  durable.stream,
  (event) => event.type === "session.next.step.ended" && event.durable.seq > history.at(-1).durable.seq,
  () => ok(prompt("msg_n4")),
)
assert.deepEqual(replayed.slice(0, history.length - 3), history.slice(3))
await ok(client.v2.session.interrupt({ sessionID: "ses_newer" }))
assert.equal((await refused(client.v2.session.wait({ sessionID: "ses_none" }), 404))._tag, "SessionNotFoundError")

// What a program asks for at its start.
for (const ask of ["agent", "model", "provider", "integration", "command", "skill", "reference"])
  assert.ok(Array.isArray((await ok(client.v2[ask].list())).data), ask)

// The streams are still open.
process.exit(0)
