/** The strip of videos: choose one, or add one and watch it through the stages. */
import { getUpload, inWords, listVideos, Problem, uploadVideo } from './api.js'
import { byId, element } from './dom.js'

/** @typedef {import('./api.js').Video} Video */

const POLL_MS = 1_000
/** Stages of a video, in order, in words. @type {[string, string][]} */
const STAGES = [
  ['received', 'Received'],
  ['analyse-video', 'Pictures analysed'],
  ['index-embeddings', 'Ready'],
]

/**
 * @param {object} options
 * @param {(video: Video | null) => void} options.onChoose
 * @param {() => number} options.maxBytes
 */
export function createVideos({ onChoose, maxBytes }) {
  const strip = byId('videos', HTMLElement)
  const drop = byId('drop', HTMLElement)
  const file = byId('file', HTMLInputElement)
  const panel = byId('upload', HTMLElement)
  const name = byId('upload-name', HTMLElement)
  const state = byId('upload-state', HTMLElement)
  const progress = byId('upload-progress', HTMLProgressElement)
  const stages = byId('upload-stages', HTMLElement)
  /** @type {Map<string, { video: Video, input: HTMLInputElement }>} */
  const shown = new Map()

  /** @param {Video} video */
  function add(video) {
    const title = video.title ?? video.id
    const input = element('input', {
      type: 'radio',
      name: 'video',
      value: video.id,
      class: 'unseen',
      onchange: () => onChoose(video),
    })
    const thumbnail = element('video', {
      muted: true,
      playsinline: true,
      preload: 'metadata',
      tabindex: '-1',
      'aria-hidden': 'true',
    })
    thumbnail.src = `${video.mediaUrl}#t=2`
    const card = element('label', { class: 'card', title }, input, thumbnail, element('span', {}, title))
    shown.set(video.id, { video, input })
    strip.append(card)
  }

  async function refresh() {
    for (const video of (await listVideos()).items) {
      if (video.state !== 'failed' && !shown.has(video.id)) add(video)
    }
  }

  /** @param {string | null} id */
  function choose(id) {
    const entry = id === null ? undefined : shown.get(id)
    for (const { input } of shown.values()) input.checked = input === entry?.input
    onChoose(entry?.video ?? null)
    entry?.input.closest('label')?.scrollIntoView({ block: 'nearest', inline: 'nearest' })
  }

  /** @param {import('./api.js').Upload} upload */
  function showStages(upload) {
    stages.replaceChildren(
      ...STAGES.map(([stage, words]) =>
        element('li', upload.stages[stage] === undefined ? {} : { class: 'done' }, words),
      ),
    )
  }

  /**
   * Follows an upload until it can be asked with.
   * @param {string} id
   * @throws {Problem} when the upload failed.
   */
  async function untilReady(id) {
    for (;;) {
      const upload = await getUpload(id)
      showStages(upload)
      if (upload.state === 'ready') return
      if (upload.state === 'failed' && upload.failure) throw new Problem(upload.failure.code, upload.failure.message)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    }
  }

  /** @param {File} chosen */
  async function send(chosen) {
    panel.hidden = false
    panel.classList.remove('failed')
    name.textContent = chosen.name
    stages.replaceChildren()
    progress.hidden = false
    progress.value = 0
    try {
      if (chosen.size > maxBytes()) throw new Problem('media-too-large', '')
      state.textContent = 'is being sent'
      const upload = await uploadVideo(chosen, (share) => {
        progress.value = share
        if (share === 1) state.textContent = 'is being checked'
      })
      progress.removeAttribute('value')
      state.textContent = upload.duplicate ? 'is known here already' : 'is being analysed'
      showStages(upload)
      await untilReady(upload.id)
      await refresh()
      panel.hidden = true
      choose(upload.id)
    } catch (error) {
      panel.classList.add('failed')
      progress.hidden = true
      const problem = error instanceof Problem ? error : new Problem('internal', String(error))
      state.textContent = `was not added. ${inWords(problem)}`
    }
  }

  file.addEventListener('change', () => {
    const chosen = file.files?.[0]
    file.value = ''
    if (chosen) void send(chosen)
  })
  // Anywhere on the page, so that a near miss does not make the browser leave it.
  addEventListener('dragover', (event) => {
    event.preventDefault()
    drop.classList.add('over')
  })
  addEventListener('dragleave', (event) => {
    if (event.relatedTarget === null) drop.classList.remove('over')
  })
  addEventListener('drop', (event) => {
    event.preventDefault()
    drop.classList.remove('over')
    const chosen = event.dataTransfer?.files[0]
    if (chosen) void send(chosen)
  })

  /** @returns {string | null} */
  function firstReady() {
    for (const { video } of shown.values()) if (video.state === 'ready') return video.id
    return null
  }

  return { refresh, choose, untilReady, firstReady, count: () => shown.size }
}
