// What is happening, in one line under the dashboard, and aloud for those who listen.

import { bytes, duration, plural, waiting } from './words.js'

const TICK = 500 // milliseconds
const WINDOW = 8000 // milliseconds over which the speed is taken
const OLD = 1000 // milliseconds after which a refusal belongs to an earlier choice of files
const SETTLED = 1500 // milliseconds before a speed is worth showing

const $ = (id) => document.getElementById(id)

function show(element, text) {
  if (element.textContent !== text) element.textContent = text
}

/** Say something to a screen reader, once. */
export function announce(text) {
  show($('live'), text)
}

export class Status {
  #uppy
  #waits = new Map() // file id → { status, until }
  #notices = new Map() // file id → { sentence, at }
  #samples = []
  #title = document.title
  #kind = 'idle'
  #wake = null

  constructor(uppy) {
    this.#uppy = uppy
    $('try-now').addEventListener('click', () => this.tryNow())
    $('go-on').addEventListener('click', () => uppy.emit('restore-confirmed'))
    $('choose-again').addEventListener('click', () => $('again').click())
    $('again').addEventListener('change', () => this.#chosenAgain())
    window.addEventListener('online', () => this.tryNow())
    window.addEventListener('offline', () => this.draw())
    uppy.on('file-removed', (file) => this.#forget(file.id))
    uppy.on('upload-success', (file) => file && this.#forget(file.id))
    uppy.on('upload-error', (file, error) => {
      if (!file) return
      this.#waits.delete(file.id)
      this.#notice(file.id, `${file.name}: ${error.message}`)
    })
    uppy.on('restriction-failed', (file, error) => this.#notice(file?.id ?? error.message, error.message))
    uppy.on('files-added', () => this.#forgetRefused())
    uppy.on('upload-retry', (file) => this.#forget(file.id))
    uppy.on('retry-all', (files) => files.forEach((file) => this.#forget(file.id)))
    uppy.on('upload-pause', () => this.draw())
    uppy.on('pause-all', () => this.draw())
    uppy.on('resume-all', () => this.draw())
    setInterval(() => this.draw(), TICK)
  }

  // What the uploads tell.

  waiting(id, status, delay) {
    if (this.#uppy.getFile(id)) this.#waits.set(id, { status, until: Date.now() + delay })
    this.#samples = []
    this.draw()
  }

  answered(id) {
    this.#waits.delete(id)
  }

  resumed(id, offset) {
    const file = this.#uppy.getFile(id)
    this.#samples = []
    if (file && offset > 0 && offset < file.size) announce(`${file.name} goes on from ${bytes(offset)} of ${bytes(file.size)}.`)
  }

  begunAgain(id) {
    const file = this.#uppy.getFile(id)
    if (file) this.#notice(id, `${file.name}: the server had let go of the first part, so it begins again from the start.`)
  }

  /** Let every upload that waits try at once. */
  tryNow() {
    for (const id of this.#waits.keys()) {
      const file = this.#uppy.getFile(id)
      if (file && !file.isPaused && !file.error) {
        this.#uppy.pauseResume(id)
        this.#uppy.pauseResume(id)
      }
    }
  }

  // What the page shows.

  draw() {
    const started = this.#uppy.getFiles().filter((file) => file.progress.uploadStarted && !file.error)
    const open = started.filter((file) => !file.progress.uploadComplete)
    const running = open.filter((file) => !file.isPaused)
    const wait = this.#longest(running)
    const sent = started.reduce((sum, file) => sum + (file.progress.bytesUploaded || 0), 0)
    const total = started.reduce((sum, file) => sum + (file.size || 0), 0)
    const ghosts = open.filter((file) => file.isGhost)
    const kind = this.#kindOf(open, running, ghosts, wait)
    const text = {
      idle: () => '',
      waiting: () => this.#waiting(wait),
      sending: () => this.#sending(running.length, sent, total),
      ghosts: () => `Welcome back. Choose ${this.#names(ghosts)} again, and the upload goes on from ${bytes(sent)} of ${bytes(total)}.`,
      restored: () => `Welcome back. ${bytes(sent)} of ${bytes(total)} has arrived, and the rest is ready to go on.`,
      paused: () => `Paused at ${bytes(sent)} of ${bytes(total)}. What arrived is kept; press Resume to go on, today or within a day.`,
    }[kind]()
    show($('status-text'), text)
    $('status').hidden = kind === 'idle'
    $('status').dataset.kind = kind
    $('go-on').hidden = kind !== 'restored'
    $('choose-again').hidden = kind !== 'ghosts'
    $('try-now').hidden = kind !== 'waiting' || !navigator.onLine
    document.title = kind === 'idle' ? this.#title : `${this.#mark(kind, sent, total)} · ${this.#title}`
    if (kind !== this.#kind) this.#changed(kind, text)
  }

  #kindOf(open, running, ghosts, wait) {
    if (open.length === 0) return 'idle'
    if (ghosts.length > 0) return 'ghosts'
    if (this.#uppy.getState().recoveredState) return 'restored'
    if (wait) return 'waiting'
    return running.length > 0 ? 'sending' : 'paused'
  }

  #names(files) {
    return files.length === 1 ? files[0].name : plural(files.length, 'file')
  }

  #mark(kind, sent, total) {
    if (kind === 'waiting') return 'Waiting'
    if (kind === 'sending') return `${total ? Math.floor((100 * sent) / total) : 0} %`
    return 'Paused'
  }

  #chosenAgain() {
    const files = [...$('again').files]
    this.#uppy.addFiles(files.map((data) => ({ name: data.name, type: data.type, data, source: 'page' })))
    $('again').value = ''
  }

  #changed(kind, text) {
    const before = this.#kind
    this.#kind = kind
    if (kind !== 'sending') this.#samples = []
    if (kind === 'sending' && before === 'waiting') announce('Connected again; the upload goes on.')
    else if (kind === 'waiting') announce(text.replace(/ Trying again .*? s\./, ''))
    else if (kind === 'paused') announce('Paused. What arrived is kept.')
    else if (kind === 'sending') announce('Uploading.')
    else if (kind !== 'idle') announce(text)
    this.#stayAwake(kind === 'sending')
  }

  #longest(running) {
    const waits = running.map((file) => this.#waits.get(file.id)).filter(Boolean)
    return waits.length === running.length ? waits.sort((one, other) => one.until - other.until)[0] : undefined
  }

  #waiting({ status, until }) {
    const why = waiting(status, navigator.onLine)
    if (!navigator.onLine && status === 0) return `${why}. Nothing is lost; the upload goes on by itself when you are back.`
    const left = Math.ceil((until - Date.now()) / 1000)
    return `${why}. ${left > 0 ? `Trying again in ${left} s.` : 'Trying again …'} Nothing is lost.`
  }

  #sending(files, sent, total) {
    const parts = [`${bytes(sent)} of ${bytes(total)}`]
    const speed = this.#speed(sent)
    if (speed > 0) parts.push(`${bytes(speed)} a second`, `${duration((total - sent) / speed)} left`)
    if (files > 1) parts.unshift(plural(files, 'file'))
    return parts.join(' · ')
  }

  /** Bytes a second over the last moments; 0 while it is too early to tell. */
  #speed(sent) {
    const now = Date.now()
    const last = this.#samples.at(-1)
    if (last && sent < last.sent) this.#samples = []
    this.#samples.push({ now, sent })
    while (now - this.#samples[0].now > WINDOW) this.#samples.shift()
    const first = this.#samples[0]
    return now - first.now < SETTLED ? 0 : ((sent - first.sent) * 1000) / (now - first.now)
  }

  #notice(id, sentence) {
    this.#notices.set(id, { sentence, at: Date.now() })
    announce(sentence)
    this.#drawNotices()
  }

  #forget(id) {
    this.#waits.delete(id)
    if (this.#notices.delete(id)) this.#drawNotices()
  }

  /** Forget files that never came into the dashboard. */
  #forgetRefused() {
    for (const [id, { at }] of this.#notices) if (!this.#uppy.getFile(id) && Date.now() - at > OLD) this.#forget(id)
  }

  #drawNotices() {
    const rows = [...this.#notices.values()].map(({ sentence }) => {
      const row = document.createElement('li')
      row.textContent = sentence
      return row
    })
    $('notices').replaceChildren(...rows)
    $('notices').hidden = rows.length === 0
  }

  /** Keep a phone's screen on while bytes travel: with the screen the network goes. */
  async #stayAwake(wanted) {
    try {
      if (wanted) this.#wake ??= await navigator.wakeLock?.request('screen')
      else {
        await this.#wake?.release()
        this.#wake = null
      }
    } catch {
      // The battery is low, or the page is hidden: the upload goes on while it can.
    }
  }
}
