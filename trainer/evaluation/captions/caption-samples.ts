/** Texts side by side, as McKee et al. (2023) show theirs in figures 6 and 7: what of the tags is kept, omitted, invented. */
import { seededRandom, shuffled } from '../../../model/random.ts'
import { type Content, html, type Markup } from '../report/markup.ts'
import type { CheckedText } from './caption-set.ts'
import type { MeasuredCaptions } from './measure-captions.ts'

const DRAWN = 8
const EXTREME = 6

/** Beside the styles of all reports. */
export const SAMPLE_STYLES = `
.card h4{margin:.9rem 0 .1rem;font-size:.85rem;color:var(--soft);font-weight:600}
.card .text{margin:0 0 .3rem}
.badge{display:inline-block;margin-left:.5rem;padding:0 .45rem;border:1px solid var(--c1);border-radius:.6rem;color:var(--c1);font-weight:500}
mark{background:none;color:inherit;border-bottom:2px solid var(--good)}
mark.invented{border-bottom:2px dashed var(--c1)}
.tags{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem .4rem;margin:0;padding:0;font-size:.8rem}
.tags li{padding:0 .45rem;border:1px solid var(--rule);border-radius:.6rem}
.tags .kept{border-color:var(--good);color:var(--good)}
.tags .omitted{color:var(--soft);text-decoration:line-through}
.tags .invented{border:1px dashed var(--c1);color:var(--c1)}
`

export interface Samples {
  /** Numbers of tracks, drawn by the seed. */
  readonly drawn: readonly number[]
  /** Where the methods' texts are least alike; with one method, least like people's. */
  readonly differing: readonly number[]
}

export function samplesOf({ tracks, rows, vectors, seed }: MeasuredCaptions): Samples {
  const everyone = Array.from(tracks, (_, track) => track)
  const methods = rows.flatMap(({ set }, i) => (set.kind === 'method' ? [vectors[i]!] : []))
  const compared = methods.length > 1 ? methods : [vectors[0]!, ...methods]
  const alike = everyone.map((track) => {
    const there = compared.flatMap((of) => of[track] ?? [])
    return meanOfPairs(there)
  })
  return {
    drawn: shuffled(everyone, seededRandom(`samples/${seed}`)).slice(0, DRAWN),
    differing: everyone
      .filter((track) => !Number.isNaN(alike[track]!))
      .sort((a, b) => alike[a]! - alike[b]!)
      .slice(0, EXTREME),
  }
}

/** @returns the mean cosine of pairs of unit vectors; NaN for fewer than two. */
function meanOfPairs(vectors: readonly Float32Array[]): number {
  let [sum, pairs] = [0, 0]
  for (let i = 0; i < vectors.length; i++) {
    for (let j = 0; j < i; j++, pairs++) {
      const other = vectors[j]!
      sum += vectors[i]!.reduce((dot, value, k) => dot + value * other[k]!, 0)
    }
  }
  return sum / pairs
}

export function sampleSection(measured: MeasuredCaptions): Content {
  const { drawn, differing } = samplesOf(measured)
  const cards = (tracks: readonly number[]) =>
    html`<div class="cards">${tracks.map((track) => card(measured, track))}</div>`
  return html`<p>Under each text stand the tags that it speaks of, those that it omits, struck out, and those that it invents, dashed. What says so in the text is underlined.</p><h3>Drawn at random</h3>${cards(drawn)}<h3>Where the texts differ most</h3>${cards(differing)}`
}

function card({ tracks, rows }: MeasuredCaptions, track: number): Markup {
  const { id, tags } = tracks[track]!
  const texts = rows.flatMap(({ set }) => {
    const text = set.texts[track]
    return text === undefined ? [] : [sample(set.label, text)]
  })
  return html`<article class="card"><h3>${id}</h3><ul class="tags">${tags.map((tag) => html`<li>${tag}</li>`)}</ul>${texts}</article>
`
}

function sample(label: string, text: CheckedText): Markup {
  const { fallback } = text
  const badge =
    fallback === undefined
      ? undefined
      : html`<span class="badge">fallback to ${fallback.method}: ${[fallback.code, ...fallback.faults].join(', ')}</span>`
  const items = (['kept', 'omitted', 'invented'] as const).flatMap((kind) =>
    text[kind].map((tag) => html`<li class="${kind}" title="${kind}">${tag}</li>`),
  )
  return html`<h4>${label}${badge}</h4><p class="text">${marked(text)}</p>${items.length > 0 ? html`<ul class="tags">${items}</ul>` : ''}`
}

/** The text, with what it says of the tags underlined. */
export function marked({ text, marks }: CheckedText): Content {
  let from = 0
  const parts = marks.flatMap(({ at, length, kind }): Content[] => {
    const before = text.slice(from, at)
    from = at + length
    return [before, html`<mark class="${kind}">${text.slice(at, from)}</mark>`]
  })
  return [parts, text.slice(from)]
}
