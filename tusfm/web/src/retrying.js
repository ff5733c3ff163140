// How uploads speak to the server, and when they try again.

import { DefaultHttpStack } from 'tus-js-client'
import { failure, UNREADABLE } from './words.js'

const FIRST_DELAYS = [500, 1000, 2000, 4000, 8000, 15000]
const LONG_DELAY = 30000
const DAY = 24 * 3600 * 1000
// Milliseconds between tries. They begin anew whenever bytes arrive, and end after a day without one.
const DELAYS = [...FIRST_DELAYS, ...Array(DAY / LONG_DELAY).fill(LONG_DELAY)]
const GONE = new Set([404, 410])
const WORTH_ANOTHER_TRY = new Set([0, 404, 408, 409, 410, 423, 425, 429])

export const ENDPOINT = new URL('files/', document.baseURI).href

/** Take an upload's URL as this page sees the server: a proxy may have hidden the address from it. */
export function here(url) {
  const id = /\/files\/([^/?#]+)$/.exec(url)?.[1]
  return id ? new URL(id, ENDPOINT).href : url
}

class Stack extends DefaultHttpStack {
  createRequest(method, url) {
    return super.createRequest(method, here(url))
  }
}

/**
 * Options for Uppy's tus plugin. *watch* hears what becomes of each file:
 * waiting(id, status, delay), answered(id), resumed(id, offset), begunAgain(id).
 */
export function tusOptions(uppy, token, watch, limit) {
  const fileOf = new WeakMap()
  const answered = new WeakMap()
  const unreadable = new Set()
  const retry = () => uppy.retryAll()

  async function look(id) {
    try {
      await uppy.getFile(id)?.data.slice(0, 1).arrayBuffer()
    } catch {
      unreadable.add(id)
    }
  }

  function onShouldRetry(error, attempt, _, next) {
    const request = error.originalRequest
    const status = answered.get(request) ?? 0
    const id = fileOf.get(request)
    if (unreadable.has(id) || (status < 500 && !WORTH_ANOTHER_TRY.has(status))) return false
    if (GONE.has(status) && request.getMethod() !== 'PATCH') return false
    if (status === 0) look(id)
    watch.waiting(id, status, DELAYS[attempt])
    next(error)
    return true
  }

  function onAfterResponse(request, response) {
    const status = response.getStatus()
    const id = fileOf.get(request)
    answered.set(request, status)
    if (request.getMethod() === 'HEAD') {
      // The client would begin again from byte 0; only an upload that is gone is a reason to.
      if (status >= 300 && status !== 423 && !GONE.has(status)) throw new Error(`HEAD was answered with ${status}`)
      if (GONE.has(status)) watch.begunAgain(id)
      if (status < 300) watch.resumed(id, Number(response.getHeader('Upload-Offset')))
    }
    if (status < 300) watch.answered(id)
  }

  function onError(error) {
    const { originalRequest: request, originalResponse: response } = error.cause ?? error
    const said = response?.getBody()?.trim()
    if (answered.get(request) === 401) token.ask(retry)
    error.message = unreadable.delete(fileOf.get(request)) ? UNREADABLE : failure(answered.get(request) ?? 0, said, limit())
  }

  return {
    endpoint: ENDPOINT,
    httpStack: new Stack(),
    headers: () => token.headers,
    retryDelays: DELAYS,
    removeFingerprintOnSuccess: true,
    allowedMetaFields: ['name', 'type'],
    limit: 5,
    onBeforeRequest: (request, file) => {
      fileOf.set(request, file.id)
    },
    onShouldRetry,
    onAfterResponse,
    onError,
  }
}
