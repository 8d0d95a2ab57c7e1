// What both scripts need. A script is run with the address of a server; it throws what is not as it should be.
import assert from "node:assert/strict"

export const url = process.argv.at(-1)

export function text(said) {
  return [{ type: "text", text: said }]
}

export async function ok(call) {
  const answer = await call
  assert.equal(answer.error, undefined, JSON.stringify(answer.error))
  return answer.data
}

export async function refused(call, status) {
  const answer = await call
  assert.equal(answer.response.status, status)
  return answer.error
}

// Collects a stream's events until one is as wanted; `during` is done once the stream is open.
export async function events(stream, wanted, during) {
  const seen = []
  for await (const event of stream) {
    if (seen.push(event) === 1) await during()
    if (wanted(event)) return seen
  }
  throw new Error("the stream ended")
}

export function said(messages) {
  return messages.map((message) => message.parts.map((part) => part.text ?? "").join(""))
}
