/** The page: what is asked, the newest answer to it, and the track that plays. */
import { inWords, Problem, pipeline, recommend, sendFeedback } from './api.js'
import { byId, counted, element } from './dom.js'
import { createPlayer } from './player.js'
import { markPlaying, titleOf, trackItem } from './results.js'
import { createVideos } from './videos.js'

/** @typedef {import('./api.js').Result} Result */

const IDEAS = ['calm acoustic guitar', 'energetic electronic', 'happy folk', 'nostalgic piano', 'tender and slow']
const PAGE = 10
const PIPELINE_MS = 3_000

const form = byId('query', HTMLFormElement)
const text = byId('text', HTMLInputElement)
const exclude = byId('exclude', HTMLInputElement)
const balance = byId('balance', HTMLInputElement)
const list = byId('list', HTMLElement)
const summary = byId('summary', HTMLElement)
const problemBox = byId('problem', HTMLElement)
const more = byId('more', HTMLButtonElement)
const near = byId('near', HTMLElement)

/** @type {{ video: import('./api.js').Video | null, like: { id: string, title: string } | null }} */
const asked = { video: null, like: null }
/** @type {AbortController | null} */
let running = null
/** @type {{ requestId: string, release: string, cursor: string | null, query: Record<string, unknown>, best: number } | null} */
let answered = null
/** @type {string | null} */
let playing = null
let maxBytes = Number.POSITIVE_INFINITY

const player = createPlayer((id) => {
  playing = id
  markPlaying(list, playing)
})
const videos = createVideos({
  maxBytes: () => maxBytes,
  onChoose(video) {
    asked.video = video
    player.setVideo(video?.mediaUrl ?? null)
    void ask()
  },
})

/** The query as the form stands; undefined when nothing is asked. */
function query() {
  const words = text.value.trim()
  if (asked.video === null && words === '' && asked.like === null) return undefined
  const bpm = { ...bound('min', 'bpm-min'), ...bound('max', 'bpm-max') }
  const mode = byId('mode', HTMLSelectElement).value
  const filters = {
    ...(Object.keys(bpm).length > 0 ? { bpm } : {}),
    ...(mode === '' ? {} : { mode }),
    ...(byId('clean', HTMLInputElement).checked ? { explicit: false } : {}),
  }
  const share = Number(balance.value)
  return {
    ...(asked.video ? { video: asked.video.id } : {}),
    ...(words === '' ? {} : { text: words }),
    ...(exclude.value.trim() === '' ? {} : { excludeText: exclude.value.trim() }),
    ...(asked.like ? { likeTrack: asked.like.id } : {}),
    ...(share === 0.5 ? {} : { weights: { text: 2 * share, video: 2 * (1 - share) } }),
    filters,
    limit: PAGE,
    explain: true,
  }
}

/** @param {string} name @param {string} id */
function bound(name, id) {
  const { value } = byId(id, HTMLInputElement)
  return value === '' ? {} : { [name]: Number(value) }
}

async function ask() {
  const wanted = query()
  running?.abort()
  remember()
  if (wanted === undefined) {
    list.replaceChildren()
    more.hidden = true
    summary.textContent = 'Choose a video, say some words, or both.'
    return
  }
  const controller = new AbortController()
  running = controller
  list.setAttribute('aria-busy', 'true')
  problemBox.hidden = true
  summary.textContent = 'Listening through the catalogue …'
  try {
    await show(wanted, controller.signal)
  } catch (error) {
    if (controller.signal.aborted) return
    await explainProblem(error, controller.signal)
  } finally {
    if (running === controller) list.removeAttribute('aria-busy')
  }
}

/** @param {Record<string, unknown>} wanted @param {AbortSignal} signal */
async function show(wanted, signal) {
  const answer = await recommend(wanted, signal)
  const further = wanted.cursor !== undefined
  const best = further && answered ? answered.best : (answer.results[0]?.score ?? 0)
  answered = { requestId: answer.requestId, release: answer.release, cursor: answer.nextCursor, query: wanted, best }
  const before = further ? list.childElementCount : 0
  const ranked = answer.results.map((result) => ({ ...result, rank: before + result.rank }))
  const items = ranked.map((result) => trackItem(result, best, actions))
  if (further) list.append(...items)
  else list.replaceChildren(...items)
  markPlaying(list, playing)
  more.hidden = answer.nextCursor === null || items.length === 0
  byId('release', HTMLElement).textContent = `Answered by release ${answer.release}`
  summary.textContent =
    list.childElementCount === 0
      ? 'No track passes these filters. Loosen them and try again.'
      : `Best ${list.childElementCount} of ${counted(answer.total, 'track')}, for ${what()}`
}

function what() {
  const words = text.value.trim()
  const parts = [
    asked.video && (asked.video.title ?? asked.video.id),
    words && `“${words}”`,
    asked.like && `near to ${asked.like.title}`,
  ]
  return parts.filter(Boolean).join(' and ')
}

/** A video that is still being analysed is waited for; anything else is said in words. @param {unknown} error @param {AbortSignal} signal */
async function explainProblem(error, signal) {
  const problem = error instanceof Problem ? error : new Problem('internal', String(error))
  if (problem.code === 'video-not-ready' && problem.upload) {
    list.replaceChildren()
    summary.textContent = 'This video is still being analysed. The tracks come as soon as it is done.'
    try {
      await videos.untilReady(problem.upload.id)
      if (!signal.aborted) await ask()
      return
    } catch (failure) {
      if (signal.aborted) return
      showProblem(failure instanceof Problem ? failure : problem)
      return
    }
  }
  showProblem(problem)
}

/** @param {Problem} problem */
function showProblem(problem) {
  list.replaceChildren()
  more.hidden = true
  summary.textContent = ''
  problemBox.hidden = false
  problemBox.replaceChildren(
    element('p', {}, inWords(problem)),
    element('button', { type: 'button', class: 'plain', onclick: () => void ask() }, 'Try again'),
  )
}

const actions = {
  /** @param {Result} result */
  play(result) {
    if (playing === result.track.id) return player.pause()
    const startSeconds = result.highlight?.startSeconds ?? 0
    player.play({ id: result.track.id, title: titleOf(result), url: result.track.mediaUrl, startSeconds })
    tell('previewed', result)
  },
  /** @param {Result} result */
  like(result) {
    asked.like = { id: result.track.id, title: titleOf(result) }
    showNear()
    void ask()
    byId('results', HTMLElement).focus()
  },
  /** @param {Result} result */
  choose(result) {
    tell('chosen', result)
  },
}

/** @param {string} action @param {Result} result */
function tell(action, { rank, track }) {
  if (answered === null) return
  const { requestId, release, query: asking } = answered
  const video = typeof asking.video === 'string' ? { video: asking.video } : {}
  void sendFeedback({ requestId, release, action, rank, track: track.id, ...video })
}

function showNear() {
  near.hidden = asked.like === null
  if (asked.like === null) return
  near.replaceChildren(
    `Near to ${asked.like.title} `,
    element(
      'button',
      {
        type: 'button',
        class: 'plain',
        'aria-label': `Stop looking near to ${asked.like.title}`,
        onclick: () => {
          asked.like = null
          showNear()
          void ask()
        },
      },
      'Clear',
    ),
  )
}

/** In one column the tracks lie below the form. */
function showResults() {
  if (matchMedia('(max-width: 860px)').matches) byId('results', HTMLElement).scrollIntoView()
}

/** The question stands in the address, so that it can be shared and survives a reload. */
function remember() {
  const parameters = new URLSearchParams()
  if (asked.video) parameters.set('video', asked.video.id)
  if (text.value.trim()) parameters.set('text', text.value.trim())
  const search = parameters.toString()
  history.replaceState(null, '', search === '' ? location.pathname : `?${search}`)
}

async function watchPipeline() {
  const line = byId('pipeline', HTMLElement)
  try {
    const { counts, stages, limits } = await pipeline()
    maxBytes = limits.uploadBytes
    const waiting = stages.some(({ lagRecords, inFlight }) => lagRecords + inFlight > 0)
    const words = `${counted(counts.tracks, 'track')}, ${counted(counts.videos, 'video')}`
    const next = waiting ? `${words}, analysing more` : words
    if (line.textContent !== next) line.textContent = next
    line.classList.toggle('busy', waiting)
    if (counts.videos > videos.count()) await videos.refresh()
  } catch {
    line.textContent = 'Out of reach'
    line.classList.remove('busy')
  }
  setTimeout(watchPipeline, PIPELINE_MS)
}

form.addEventListener('submit', (event) => {
  event.preventDefault()
  void ask().then(showResults)
})
for (const id of ['balance', 'bpm-min', 'bpm-max', 'mode', 'clean', 'exclude']) {
  byId(id, HTMLElement).addEventListener('change', () => void ask())
}
more.addEventListener('click', async () => {
  if (answered?.cursor == null || running === null) return
  const from = list.childElementCount
  try {
    await show({ ...answered.query, cursor: answered.cursor }, running.signal)
    const first = list.children[from]?.querySelector('button')
    first?.focus()
  } catch (error) {
    if (!running.signal.aborted) showProblem(error instanceof Problem ? error : new Problem('internal', String(error)))
  }
})
byId('ideas', HTMLElement).append(
  ...IDEAS.map((idea) =>
    element(
      'button',
      {
        type: 'button',
        class: 'idea',
        onclick: () => {
          text.value = idea
          void ask().then(showResults)
        },
      },
      idea,
    ),
  ),
)

const parameters = new URLSearchParams(location.search)
text.value = parameters.get('text') ?? ''
await videos.refresh().catch(showProblem)
const linkedVideo = parameters.get('video') ?? (text.value === '' ? videos.firstReady() : null)
if (linkedVideo !== null) videos.choose(linkedVideo)
else void ask()
void watchPipeline()
