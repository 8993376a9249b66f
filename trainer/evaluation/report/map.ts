/** The catalogue in two dimensions: tracks as points, some queries with lines to their own tracks. */
import { scaleLinear } from 'd3-scale'
import { seededRandom, shuffled } from '../../../model/random.ts'
import type { Pairs } from '../../data/pairs.ts'
import type { PairVectors } from '../model-scores.ts'
import { wordsOf } from './examples.ts'
import { html, type Markup } from './markup.ts'
import { principalPlane } from './principal-components.ts'

const SIZE = 640
const EDGE = 14
/** More cannot be told apart. */
const MOST_POINTS = 3_000
/** Colours of the commonest words, a track having that of its rarest among them; what has none has the last one. */
const COLOURS = [0, 1, 2, 3, 4, 6]
const NO_COLOUR = 5

/** @param queries pairs that are drawn asking, by `ask`. */
export function catalogueMap(
  pairs: Pairs,
  { dims, tracks, queries: asked }: PairVectors,
  ask: 'video' | 'video+text',
  queries: readonly number[],
): Markup {
  const plane = principalPlane(tracks, dims)
  const at = (rows: Float32Array, pair: number) => plane.place(rows.subarray(pair * dims, (pair + 1) * dims))
  const everyone = Array.from({ length: pairs.count }, (_, pair) => pair)
  const some = shuffled(everyone, seededRandom('map')).slice(0, MOST_POINTS)
  const points = [...new Set([...some, ...queries])].map((pair) => ({ pair, point: at(tracks, pair) }))
  const asking = queries.map((pair) => ({ pair, from: at(asked.get(ask)!, pair), to: at(tracks, pair) }))
  const all = [...points.map(({ point }) => point), ...asking.map(({ from }) => from)]
  const ends = (axis: 0 | 1) => [Math.min(...all.map((at) => at[axis])), Math.max(...all.map((at) => at[axis]))]
  const x = scaleLinear(ends(0), [EDGE, SIZE - EDGE])
  const y = scaleLinear(ends(1), [SIZE - EDGE, EDGE])
  const place = (point: readonly [number, number]) => [x(point[0]).toFixed(1), y(point[1]).toFixed(1)] as const

  const common = commonWords(pairs)
  const colourOf = (pair: number) => {
    const words = wordsOf(pairs, pair).split(', ')
    const found = common.findLastIndex((word) => words.includes(word))
    return found < 0 ? NO_COLOUR : COLOURS[found]!
  }
  const noteOf = (pair: number) => `${pairs.trackIds[pair]} · ${wordsOf(pairs, pair) || 'no words'}`
  const drawn = points.map(({ pair, point }) => {
    const [cx, cy] = place(point)
    return html`<circle class="point c${colourOf(pair)}" cx="${cx}" cy="${cy}" r="4" data-note="${noteOf(pair)}"><title>${noteOf(pair)}</title></circle>`
  })
  const lines = asking.map(({ pair, from, to }) => {
    const [x1, y1] = place(from)
    const [x2, y2] = place(to)
    const note = `query ${pairs.videoIds[pair]} · ${wordsOf(pairs, pair) || 'no words'}`
    return html`<line class="tie" x1="${x1}" y1="${y1}" x2="${x2}" y2="${y2}"/><rect class="query" x="${(Number(x1) - 5).toFixed(1)}" y="${(Number(y1) - 5).toFixed(1)}" width="10" height="10" data-note="${note}"><title>${note}</title></rect>`
  })
  const legend = [...common.map((word, i) => [word, COLOURS[i]!] as const), ['none of these', NO_COLOUR] as const].map(
    ([word, colour]) =>
      html`<li><svg class="dot" viewBox="0 0 10 10"><circle class="mark c${colour}" cx="5" cy="5" r="5"/></svg>${word}</li>`,
  )
  return html`<figure class="map"><figcaption>${points.length} of ${pairs.count} tracks in the joint space of ViML; the plane shows ${Math.round(100 * plane.share)} % of the variance. Squares are queries, with lines to their own tracks.</figcaption><svg viewBox="0 0 ${SIZE} ${SIZE}" role="img" aria-label="Map of the catalogue">${drawn}${lines}</svg><p class="readout" aria-live="polite">Point at a track to read its id and words.</p><ul class="legend">${legend}</ul></figure>`
}

/** @returns the words that most of the pairs have, commonest first. */
function commonWords(pairs: Pairs): string[] {
  const counts = new Map<string, number>()
  for (let pair = 0; pair < pairs.count; pair++) {
    for (const word of wordsOf(pairs, pair).split(', ')) if (word !== '') counts.set(word, (counts.get(word) ?? 0) + 1)
  }
  return [...counts]
    .sort(([, a], [, b]) => b - a)
    .slice(0, COLOURS.length)
    .map(([word]) => word)
}
