// What the page says, and how it writes sizes and times; pure.

const UNITS = ['bytes', 'KB', 'MB', 'GB', 'TB']

/** Write a number of bytes as a person reads it, 57.2 MB, in the same units as Uppy: 1 MB is 1024 × 1024 bytes. */
export function bytes(count) {
  let power = 0
  while (count >= 1024 && power < UNITS.length - 1) {
    count /= 1024
    power += 1
  }
  return `${power > 0 && count < 100 ? count.toFixed(1) : Math.round(count)}\u00a0${UNITS[power]}`
}

/** Write a duration in seconds in one or two units: 1 h 20 min. */
export function duration(seconds) {
  if (seconds < 60) return `${Math.max(1, Math.ceil(seconds))} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 60) return `${minutes} min`
  const hours = Math.floor(minutes / 60)
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.round(hours / 24)} days`
}

export function plural(count, one, many = `${one}s`) {
  return `${count} ${count === 1 ? one : many}`
}

/** Say why an upload waits; *status* is 0 when no answer came. */
export function waiting(status, online) {
  if (status === 0 && !online) return 'You are offline'
  if (status === 0) return 'Connection lost'
  if (status === 507) return 'The server has no room just now'
  if (status === 423 || status === 409) return 'The server is still busy with this upload'
  if (status === 429) return 'The server asks for a pause'
  return 'The server cannot take data just now'
}

/** Say what went wrong for good, and what to do about it; *said* is the server's own sentence. */
export function failure(status, said, limit) {
  if (status === 413) {
    const most = limit ? ` It takes files of up to ${bytes(limit)}.` : ''
    return `The file is too large for this server.${most} Ask whoever runs it to raise the limit, or send the file in pieces.`
  }
  if (status === 401) return 'The server wants to know who you are. The upload goes on when you have entered your token.'
  if (status === 403) return 'The server does not let you upload. Ask whoever runs it.'
  if (status === 404 || status === 410) return 'The server does not know this upload any more. Press Retry to begin it again.'
  if (status === 412 || status === 415) return 'This page and the server do not understand each other. Reload the page, then go on.'
  if (status === 0) return 'No answer came for a very long time. Press Retry when the server is back; what arrived is kept.'
  return `The server refused the upload${said ? `: ${said}` : '.'} Press Retry, or remove the file here.`
}

export const UNREADABLE = 'The file cannot be read any more; it was moved, changed or deleted. Remove it here, then choose it again.'
