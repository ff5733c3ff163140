// Who the visitor is, where the server wants to know: a token that this tab keeps, and that travels in a header only.

import { announce } from './status.js'

const KEY = 'tusfm.token'
const WANTED = 'This server wants to know who you are. Enter your token, or ask whoever runs it for one.'
const REFUSED = 'The server does not take this token. Enter another one.'

const $ = (id) => document.getElementById(id)

function kept() {
  try {
    return sessionStorage.getItem(KEY)
  } catch {
    return null
  }
}

function keep(text) {
  try {
    sessionStorage.setItem(KEY, text)
  } catch {
    // The page has it until it is closed or reloaded.
  }
}

export class Token {
  #text = kept()
  #goOn = new Set()

  constructor() {
    $('token').addEventListener('submit', (event) => {
      event.preventDefault()
      this.#take($('token-text').value.trim())
    })
  }

  /** Headers of a request to the server. */
  get headers() {
    return this.#text ? { Authorization: `Bearer ${this.#text}` } : {}
  }

  /** Ask for a token, after a 401; *goOn* runs once when there is one. */
  ask(goOn) {
    this.#goOn.add(goOn)
    if (!$('token').hidden) return
    const said = this.#text ? REFUSED : WANTED
    this.#text = null
    $('token-label').textContent = said
    $('token').hidden = false
    $('token-text').focus()
    announce(said)
  }

  #take(text) {
    this.#text = text
    keep(text)
    $('token').reset()
    $('token').hidden = true
    const goOn = [...this.#goOn]
    this.#goOn.clear()
    for (const one of goOn) one()
  }
}
