/** The ranked list: one article a track, with its words, its numbers and why it is there. */
import { clockTime, element } from './dom.js'

/** @typedef {import('./api.js').Result} Result */
/** @typedef {{ play(result: Result): void, like(result: Result): void, choose(result: Result): void }} Actions */

const TAGS_SHOWN = 6

/** What each part of the query is, by its name in `parts`. @type {Record<string, string>} */
const PARTS = { video: 'the picture', text: 'the words', likeTrack: 'the track it should be near to' }

/**
 * @param {Result} result
 * @param {number} best score of the first track
 * @param {Actions} actions
 */
export function trackItem(result, best, actions) {
  const { track, rank, highlight } = result
  const name = titleOf(result)
  const play = element('button', {
    type: 'button',
    class: 'round play',
    'aria-label': `Play ${name}`,
    onclick: () => actions.play(result),
  })
  const choose = element(
    'button',
    {
      type: 'button',
      class: 'plain',
      'aria-pressed': 'false',
      'aria-label': `Use ${name}`,
      onclick: () => {
        choose.setAttribute('aria-pressed', 'true')
        choose.textContent = 'Chosen'
        actions.choose(result)
      },
    },
    'Use this',
  )
  const item = element(
    'li',
    { class: 'track' },
    element('span', { class: 'rank', 'aria-hidden': 'true' }, String(rank)),
    play,
    element(
      'div',
      { class: 'about' },
      element('h3', {}, name),
      element('p', { class: 'facts quiet' }, facts(result)),
      track.description ? element('p', { class: 'description' }, track.description.text) : null,
      tagList(track.tags),
      element(
        'div',
        { class: 'actions' },
        choose,
        element(
          'button',
          { type: 'button', class: 'plain', 'aria-label': `More like ${name}`, onclick: () => actions.like(result) },
          'More like this',
        ),
        reasons(result),
      ),
    ),
    scoreBar(result.score, best, highlight),
  )
  item.dataset.track = track.id
  return item
}

/** @param {HTMLElement} list @param {string | null} playing id of the track that sounds */
export function markPlaying(list, playing) {
  for (const item of list.querySelectorAll('li')) {
    const on = item.dataset.track === playing
    item.classList.toggle('is-playing', on)
    const button = item.querySelector('.play')
    const name = item.querySelector('h3')?.textContent
    button?.classList.toggle('pause', on)
    button?.setAttribute('aria-label', `${on ? 'Pause' : 'Play'} ${name}`)
  }
}

/** @param {Result} result */
export function titleOf({ track }) {
  return track.title ?? track.id
}

/** @param {Result} result */
function facts({ track }) {
  return [
    track.artist,
    track.tempo && `${Math.round(track.tempo.bpm)} bpm`,
    track.key && `${track.key.tonic} ${track.key.mode}`,
    track.durationSeconds && clockTime(track.durationSeconds),
    track.licence,
  ]
    .filter(Boolean)
    .join('\u00a0· ')
}

/** @param {import('./api.js').Tag[]} tags */
function tagList(tags) {
  if (tags.length === 0) return null
  const shown = tags.slice(0, TAGS_SHOWN).map(({ category, tag, confidence }) => {
    const sure = `${category}, ${Math.round(confidence * 100)} % sure`
    return element('li', { title: sure, 'data-category': category }, tag)
  })
  return element('ul', { class: 'tags', 'aria-label': 'Tags' }, ...shown)
}

/** @param {number} score @param {number} best @param {Result['highlight']} highlight */
function scoreBar(score, best, highlight) {
  const bar = element('span', { class: 'bar' })
  bar.style.setProperty('--share', String(best > 0 ? Math.min(1, Math.max(0.02, score / best)) : 0))
  return element(
    'div',
    { class: 'score' },
    element('span', { class: 'score-value' }, element('span', { class: 'unseen' }, 'Score '), score.toFixed(3)),
    bar,
    highlight && highlight.startSeconds > 0
      ? element('span', { class: 'quiet' }, `best from ${clockTime(highlight.startSeconds)}`)
      : null,
  )
}

/** @param {Result} result */
function reasons({ parts, why }) {
  const rows = Object.entries(parts).map(([part, similarity]) =>
    element('li', {}, `Likeness to ${PARTS[part] ?? part}: `, element('strong', {}, similarity.toFixed(3))),
  )
  if (rows.length === 0 && why.length === 0) return null
  return element(
    'details',
    { class: 'why' },
    element('summary', {}, 'Why this one'),
    element('ul', {}, ...why.map((reason) => element('li', {}, reason)), ...rows),
  )
}
