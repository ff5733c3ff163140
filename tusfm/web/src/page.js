// The page: Uppy's dashboard against the server that served it.

import Uppy from '@uppy/core'
import { getDroppedFiles } from '@uppy/core/utils'
import Dashboard from '@uppy/dashboard'
import GoldenRetriever from '@uppy/golden-retriever'
import Tus from '@uppy/tus'
import '@uppy/core/css/style.min.css'
import '@uppy/dashboard/css/style.min.css'
import './page.css'

import { ask } from './ask.js'
import { Finished } from './finished.js'
import { ENDPOINT, here, tusOptions } from './retrying.js'
import { announce, Status } from './status.js'
import { Token } from './token.js'
import { bytes, plural } from './words.js'

const GIB = 1024 ** 3
const DAY = 24 * 3600 * 1000
const ADMIRE = 1200 // milliseconds that a finished file stays in the dashboard
const OTHER_TAB = 1000 // milliseconds to wait for a tab that is being reloaded

let limit = null
const uppy = new Uppy({
  id: 'tusfm',
  autoProceed: true,
  locale: {
    strings: {
      exceedsSize: '%{file} is larger than the %{size} that this server takes. Ask whoever runs it to raise the limit.',
      noDuplicates: '%{fileName} is in the list already.',
    },
  },
})
const token = new Token()
const finished = new Finished(token)
const status = new Status(uppy)

uppy.use(Tus, tusOptions(uppy, token, status, () => limit))
uppy.use(Dashboard, {
  target: '#uploads',
  inline: true,
  width: '100%',
  height: 340,
  theme: 'auto',
  fileManagerSelectionType: 'files',
  hideProgressDetails: true, // the status line says more
  disableInformer: true, // and what it says does not vanish
  proudlyDisplayPoweredByUppy: false,
  locale: {
    strings: {
      dashboardTitle: 'Files to upload',
      dropPasteFiles: 'Drop files here, or %{browseFiles}',
      browseFiles: 'choose them',
      reSelect: 'Choose again',
    },
  },
})

uppy.on('upload-success', (file, { uploadURL }) => {
  if (file && uploadURL) finished.add(here(uploadURL), file.name, file.size)
})
uppy.on('complete', ({ successful, failed }) => {
  if (successful.length === 0) return
  if (failed.length === 0) announce(`${plural(successful.length, 'file')} arrived.`)
  setTimeout(tidy, ADMIRE)
})

/** Leave room for the next files: what has arrived is in the list below. */
function tidy() {
  if (uppy.getFiles().some((file) => file.progress.uploadStarted && !file.progress.uploadComplete && !file.error)) return
  uppy.removeFiles(uppy.getFiles().filter((file) => file.progress.uploadComplete).map((file) => file.id))
}

// What an upload has sent is not thrown away by a slip of the finger.
const begun = (file) => file?.progress.bytesUploaded > 0 && !file.progress.uploadComplete
const removeFile = uppy.removeFile.bind(uppy)
const cancelAll = uppy.cancelAll.bind(uppy)
uppy.removeFile = (id) => {
  const file = uppy.getFile(id)
  if (!begun(file)) return removeFile(id)
  return ask('Cancel this upload?', `What has arrived of ${file.name} is deleted from the server.`, 'Cancel the upload', () => removeFile(id))
}
uppy.cancelAll = () => {
  const files = uppy.getFiles().filter(begun)
  if (files.length === 0) return cancelAll()
  const text = `What has arrived of ${files.length === 1 ? files[0].name : plural(files.length, 'file')} is deleted from the server.`
  return ask('Cancel the uploads?', text, 'Cancel the uploads', () => cancelAll())
}

/** Go on after a reload. Only one tab may: two would take the upload from each other. */
async function restore() {
  const alone = await onlyTab()
  if (alone === false || uppy.getFiles().length > 0) return
  uppy.on('restored', () => setTimeout(() => goOn(alone)))
  uppy.on('files-added', () => setTimeout(() => goOn(true)))
  uppy.use(GoldenRetriever, { expires: DAY, indexedDB: { maxFileSize: GIB, maxTotalSize: 2 * GIB } })
}

function goOn(unasked) {
  const files = uppy.getFiles()
  const paused = files.some((file) => file.isPaused)
  if (!uppy.getState().recoveredState || files.some((file) => file.isGhost)) return
  if (files.length > 0 && unasked && !paused) uppy.emit('restore-confirmed')
}

/** Return whether this is the only tab of the page; null where the browser cannot tell. */
function onlyTab() {
  if (!navigator.locks) return Promise.resolve(null)
  return new Promise((resolve) => {
    const until = { signal: AbortSignal.timeout(OTHER_TAB) }
    const held = () => {
      resolve(true)
      return new Promise(() => {})
    }
    navigator.locks.request('tusfm', until, held).catch(() => resolve(false))
  })
}

/** Ask for the largest file that the server takes, so that nobody waits for a refusal. */
async function askLimit() {
  try {
    const answer = await fetch(ENDPOINT, { method: 'OPTIONS' })
    limit = Number(answer.headers.get('Tus-Max-Size')) || null
  } catch {
    return // the server is away; the first upload will say so
  }
  if (!limit) return
  uppy.setOptions({ restrictions: { maxFileSize: limit } })
  uppy.getPlugin('Dashboard').setOptions({ note: `Up to ${bytes(limit)} a file` })
}

// A file dropped beside the dashboard is meant for it, too.
document.addEventListener('dragover', (event) => event.preventDefault())
document.addEventListener('drop', async (event) => {
  event.preventDefault()
  if (event.target.closest('#uploads')) return
  const dropped = await getDroppedFiles(event.dataTransfer)
  uppy.addFiles(dropped.map((data) => ({ name: data.name, type: data.type, data, source: 'page' })))
})

document.getElementById('endpoint').textContent = ENDPOINT
restore()
askLimit()
