// The list of files that have arrived. The browser keeps it; the server keeps the files.

import { ask } from './ask.js'
import { announce } from './status.js'
import { here } from './retrying.js'
import { bytes } from './words.js'

const KEY = 'tusfm.finished'
const MOST = 200
const FETCHED = 60000 // milliseconds that the browser may take to begin to save a file

const $ = (id) => document.getElementById(id)
const times = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' })

function load() {
  try {
    const list = JSON.parse(localStorage.getItem(KEY) ?? '[]')
    return Array.isArray(list) ? list : []
  } catch {
    return []
  }
}

function save(list) {
  try {
    localStorage.setItem(KEY, JSON.stringify(list.slice(0, MOST)))
  } catch {
    announce('This browser keeps nothing, so the list ends with this page. Copy the links that you need.')
  }
}

function element(tag, attributes, ...children) {
  const made = Object.assign(document.createElement(tag), attributes)
  made.append(...children)
  return made
}

export class Finished {
  #list = load()
  #token

  constructor(token) {
    this.#token = token
    window.addEventListener('storage', (event) => {
      if (event.key !== KEY) return
      this.#list = load()
      this.#draw()
    })
    this.#draw()
  }

  add(url, name, size) {
    const entry = { url, name, size, at: Date.now(), owned: 'Authorization' in this.#token.headers }
    this.#keep([entry, ...load().filter((other) => other.url !== url)])
  }

  #keep(list) {
    this.#list = list
    save(list)
    this.#draw()
  }

  #draw() {
    $('finished').replaceChildren(...this.#list.map((entry) => this.#row(entry)))
    $('finished-empty').hidden = this.#list.length > 0
  }

  #row(entry) {
    const when = new Date(entry.at)
    const link = element('a', { href: here(entry.url), textContent: entry.name })
    if (entry.owned) link.addEventListener('click', (event) => this.#fetch(event, entry))
    const copy = element('button', { type: 'button', textContent: 'Copy link' })
    const remove = element('button', { type: 'button', textContent: 'Delete' })
    copy.setAttribute('aria-label', `Copy the link of ${entry.name}`)
    remove.setAttribute('aria-label', `Delete ${entry.name}`)
    copy.addEventListener('click', () => this.#copy(entry, copy))
    remove.addEventListener('click', () => this.#remove(entry))
    const about = element('span', { className: 'quiet' }, `${bytes(entry.size)} · `)
    about.append(element('time', { dateTime: when.toISOString(), textContent: times.format(when) }))
    return element('li', {}, element('div', {}, link, about), element('div', { className: 'buttons' }, copy, remove))
  }

  /** Get a file whose server wants a token: a link has none. */
  async #fetch(event, entry) {
    event.preventDefault()
    try {
      const answer = await fetch(here(entry.url), { headers: this.#token.headers })
      if (answer.status === 401) return this.#token.ask(() => this.#fetch(event, entry))
      if (!answer.ok) throw new Error(`the answer is ${answer.status}`)
      const url = URL.createObjectURL(await answer.blob())
      element('a', { href: url, download: entry.name }).click()
      setTimeout(() => URL.revokeObjectURL(url), FETCHED)
    } catch (error) {
      window.alert(`${entry.name} did not come (${error.message}). Try again in a moment.`)
    }
  }

  async #copy(entry, button) {
    const url = here(entry.url)
    try {
      await navigator.clipboard.writeText(url)
      button.textContent = 'Copied'
      announce(`The link of ${entry.name} is copied.`)
      setTimeout(() => { button.textContent = 'Copy link' }, 2000)
    } catch {
      window.prompt('Copy this link:', url)
    }
  }

  async #remove(entry) {
    const text = `${entry.name} (${bytes(entry.size)}) is deleted from the server, and its link stops working for everybody.`
    if (!(await ask('Delete this file?', text, 'Delete', () => this.#delete(entry)))) return
    $('finished-title').focus()
    announce(`${entry.name} is deleted.`)
  }

  /** Delete it; return a sentence when that failed. */
  async #delete(entry) {
    try {
      const headers = { 'Tus-Resumable': '1.0.0', ...this.#token.headers }
      const answer = await fetch(here(entry.url), { method: 'DELETE', headers })
      if (answer.status === 401) {
        this.#token.ask(() => {})
        return 'The server wants to know who you are. Keep the file for now, and enter your token.'
      }
      if (!answer.ok && answer.status !== 404 && answer.status !== 410) {
        return `The server did not delete it (${answer.status}). Try again in a moment.`
      }
    } catch {
      return 'No answer came from the server, so the file may still be there. Try again in a moment.'
    }
    this.#keep(load().filter((other) => other.url !== entry.url))
    return undefined
  }
}
