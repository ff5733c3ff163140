// The list of files that have arrived. The browser keeps it; the server keeps the files.

import { ask } from './ask.js'
import { announce } from './status.js'
import { here } from './retrying.js'
import { bytes } from './words.js'

const KEY = 'tusfm.finished'
const MOST = 200

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

  constructor() {
    window.addEventListener('storage', (event) => {
      if (event.key !== KEY) return
      this.#list = load()
      this.#draw()
    })
    this.#draw()
  }

  add(url, name, size) {
    const entry = { url, name, size, at: Date.now() }
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
      const answer = await fetch(here(entry.url), { method: 'DELETE', headers: { 'Tus-Resumable': '1.0.0' } })
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
