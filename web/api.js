/**
 * The HTTP API, and its problems in words.
 *
 * @typedef {{ id: string, title: string | null, state: 'analysing' | 'ready' | 'failed', mediaUrl: string }} Video
 * @typedef {{ category: string, tag: string, confidence: number }} Tag
 * @typedef {object} Track
 * @property {string} id
 * @property {string | null} title
 * @property {string | null} artist
 * @property {string | null} licence
 * @property {number | null} durationSeconds
 * @property {{ bpm: number } | null} tempo
 * @property {{ tonic: string, mode: string } | null} key
 * @property {Tag[]} tags
 * @property {{ text: string } | null} description
 * @property {string} mediaUrl
 *
 * @typedef {object} Result
 * @property {number} rank
 * @property {number} score
 * @property {Record<string, number>} parts
 * @property {{ startSeconds: number, seconds: number } | null} highlight
 * @property {string[]} why
 * @property {Track} track
 *
 * @typedef {{ requestId: string, release: string, total: number, results: Result[], nextCursor: string | null }} Answer
 *
 * @typedef {object} Upload
 * @property {string} id
 * @property {string | null} title
 * @property {'analysing' | 'ready' | 'failed'} state
 * @property {Record<string, number>} stages
 * @property {{ code: string, message: string } | null} failure
 *
 * @typedef {object} Pipeline
 * @property {string | null} release
 * @property {{ tracks: number, videos: number, uploads: number, failed: number }} counts
 * @property {{ name: string, lagRecords: number, inFlight: number }[]} stages
 * @property {{ uploadBytes: number }} limits
 */

export class Problem extends Error {
  /** @param {string} code @param {string} message @param {{ upload?: Upload }} [members] */
  constructor(code, message, members = {}) {
    super(message)
    this.code = code
    this.upload = members.upload
  }
}

/** What the person at the page can do, by code; other problems say it in their detail. @type {Record<string, string>} */
const WORDS = {
  'deadline-exceeded': 'The answer took too long. The service may be busy analysing; try again in a moment.',
  overloaded: 'Many people are asking at the moment. Try again in a second.',
  'no-release': 'The model is still starting. Try again in a moment.',
  internal: 'Something failed on our side. Try again; if it stays, the operator can look it up.',
  'media-too-large': 'This file is larger than what is accepted here.',
  'media-empty': 'This file is empty.',
  'media-format': 'This file is not a video that can be read here. MP4, WebM, MKV and MOV work.',
  'media-unreadable': 'This file is damaged, or not a video.',
  'media-no-video': 'This file has no pictures in it.',
  'media-too-long': 'This video is longer than what is accepted here.',
  offline: 'The service cannot be reached. Check that it is running, then try again.',
}

/** @param {{ code: string, message: string }} problem */
export function inWords({ code, message }) {
  return WORDS[code] ?? message
}

/**
 * @param {string} path
 * @param {{ method?: string, body?: unknown, signal?: AbortSignal }} [options]
 */
async function call(path, { method = 'GET', body, signal } = {}) {
  /** @type {RequestInit} */
  const init = { method }
  if (signal) init.signal = signal
  if (body !== undefined) {
    init.headers = { 'content-type': 'application/json' }
    init.body = JSON.stringify(body)
  }
  let response
  try {
    response = await fetch(path, init)
  } catch (error) {
    if (signal?.aborted) throw error
    throw new Problem('offline', 'The service cannot be reached.')
  }
  const answer = await response.json().catch(() => ({}))
  if (!response.ok) throw toProblem(response.status, answer)
  return answer
}

/** @param {number} status @param {any} answer */
function toProblem(status, answer) {
  return new Problem(answer.code ?? 'internal', answer.detail ?? `The service answered ${status}.`, answer)
}

/** @returns {Promise<{ items: Video[], next: string | null }>} */
export const listVideos = () => call('/v1/videos?limit=100')
/** @returns {Promise<Pipeline>} */
export const pipeline = () => call('/v1/pipeline')
/** @param {string} id @param {AbortSignal} [signal] @returns {Promise<Upload>} */
export const getUpload = (id, signal) => call(`/v1/uploads/${encodeURIComponent(id)}`, signal ? { signal } : {})
/** @param {Record<string, unknown>} query @param {AbortSignal} signal @returns {Promise<Answer>} */
export const recommend = (query, signal) => call('/v1/recommendations', { method: 'POST', body: query, signal })
/** What became of a result; its loss harms nobody, so failures pass. @param {Record<string, unknown>} feedback */
export const sendFeedback = (feedback) =>
  call('/v1/feedback', { method: 'POST', body: feedback }).catch(() => undefined)

/**
 * By XMLHttpRequest, because fetch does not tell how much has been sent.
 * @param {File} file
 * @param {(share: number) => void} onProgress 0 … 1
 * @returns {Promise<Upload & { duplicate: boolean }>}
 */
export function uploadVideo(file, onProgress) {
  const form = new FormData()
  form.append('kind', 'video')
  form.append('file', file)
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    request.open('POST', '/v1/uploads')
    request.responseType = 'json'
    request.upload.onprogress = ({ loaded, total }) => onProgress(total > 0 ? loaded / total : 0)
    request.onerror = () => reject(new Problem('offline', 'The upload was interrupted.'))
    request.onload = () => {
      if (request.status < 300) resolve(request.response)
      else reject(toProblem(request.status, request.response ?? {}))
    }
    request.send(form)
  })
}
