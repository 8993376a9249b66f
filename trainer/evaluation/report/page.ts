/** The report of an experiment, in one HTML file (document.ts); ids and texts of the pairs are escaped. */
import type { Pairs } from '../../data/pairs.ts'
import type { Experiment, MeasuredPools } from '../experiments.ts'
import type { Method } from '../methods.ts'
import { dropoutPlot, rankPlot, recallIntervals, recallPlot, trainingPlots } from './curves.ts'
import { documentOf, type Section, tableOf } from './document.ts'
import { type Example, examplesOf, type RankedExample, wordsOf } from './examples.ts'
import { catalogueMap } from './map.ts'
import { tableCells } from './markdown.ts'
import { type Content, html, type Markup } from './markup.ts'

export interface ReportInput {
  readonly experiment: Experiment
  /** That were measured. */
  readonly pairs: Pairs
  /** Lines on what was done: data, encoders, time. */
  readonly about: readonly string[]
  /** @returns a picture of a video as a data: URL, where there is one. */
  frameOf(videoId: string): string | undefined
}

/** The note of the track that is pointed at; without it, titles tell. */
const SCRIPT = `
const readout = document.querySelector('.readout')
let chosen
const show = (event) => {
  const note = event.target.dataset?.note
  if (note === undefined) return
  chosen?.classList.remove('chosen')
  chosen = event.target
  chosen.classList.add('chosen')
  readout.textContent = note
}
for (const kind of ['pointerover', 'click']) document.querySelector('.map')?.addEventListener(kind, show)
`

export function reportPage(input: ReportInput): string {
  const { experiment, about } = input
  return documentOf({
    title: 'Cuestream: evaluation on pairs',
    heading: 'Music found for videos',
    about,
    sections: [
      { id: 'figures', title: 'Figures', body: experiment.measured.map((pools) => figures(experiment, pools)) },
      { id: 'curves', title: 'Recall and ranks', body: curves(experiment) },
      { id: 'training', title: 'Training', body: html`<div class="plots">${trainingPlots(experiment)}</div>` },
      ...looks(input),
    ],
    script: SCRIPT,
  })
}

function figures(experiment: Experiment, pools: MeasuredPools): Content {
  const intro = html`<p>Each query ranks N = ${pools.size} tracks, of which one is its own, in ${pools.pools.length} pools drawn at random. Figures are means over ${experiment.seeds} ${experiment.seeds === 1 ? 'training' : 'trainings'}; intervals of 95 % are by bootstrap over the queries, differences on the same queries.</p>`
  const tables = pools.tables.map((table) => {
    return html`<h3>${table.title}, N = ${pools.size}</h3>${tableOf(tableCells(table, experiment))}`
  })
  return [intro, tables]
}

function curves(experiment: Experiment): Content {
  const [first, ...others] = experiment.measured
  const rows = (...ids: string[]) => first!.tables.filter(({ id }) => ids.includes(id)).flatMap((table) => table.rows)
  const plots: Content[] = experiment.measured.map(recallPlot)
  const main = rows('main', 'ensembles')
  if (main.length > 0) plots.push(recallIntervals(`Models and ensembles, N = ${first!.size}`, main, experiment, first!))
  if (rows('dropout').length > 0) plots.push(dropoutPlot(first!))
  for (const [id, title] of [
    ['fusion', 'Fusion'],
    ['temperature', 'Temperature'],
  ] as const) {
    if (rows(id).length > 0) plots.push(recallIntervals(`${title}, N = ${first!.size}`, rows(id), experiment, first!))
  }
  plots.push([first!, ...others].map(rankPlot))
  return html`<p>Dots are means over trainings, rings are single trainings, lines are intervals of 95 % over queries. The dashed line is ${experiment.reference.label}.</p><div class="plots">${plots}</div>`
}

/** The map and the examples, of the first training of ViML; of MVPt+ where there are no words. */
function looks({ experiment, pairs, frameOf }: ReportInput): Section[] {
  const worded = experiment.reference.parts[0].ask === 'video+text'
  const asking = (ask: 'video' | 'video+text'): Method => ({
    ...experiment.reference,
    parts: [{ ...experiment.reference.parts[0], ask }],
  })
  const scores = experiment.scoresOf(experiment.reference, 0)
  const without = experiment.scoresOf(asking('video'), 0)
  const { drawn, helped, hurt } = examplesOf(pairs, scores, without)
  const vectors = experiment.resultOf(experiment.reference.parts[0].model, 0).vectors.get(experiment.set)!
  const map = catalogueMap(
    pairs,
    vectors,
    worded ? 'video+text' : 'video',
    drawn.map(({ pair }) => pair),
  )
  const cards = (examples: readonly Example[]) =>
    html`<div class="cards">${examples.map((example) => card(example, pairs, frameOf))}</div>`
  const sections: Section[] = [{ id: 'map', title: 'The catalogue', body: map }]
  if (drawn.length === 0) return sections
  const queries = html`<p>Each ranks all ${pairs.count} tracks by ViML, once with its words and once without.</p><h3>Drawn at random</h3>${cards(drawn)}${helped.length > 0 ? html`<h3>Where words helped most</h3>${cards(helped)}` : ''}${hurt.length > 0 ? html`<h3>Where words hurt most</h3>${cards(hurt)}` : ''}`
  return [...sections, { id: 'queries', title: 'Queries', body: queries }]
}

function card({ pair, withWords, withoutWords }: Example, pairs: Pairs, frameOf: ReportInput['frameOf']): Markup {
  const id = pairs.videoIds[pair]!
  const frame = frameOf(id)
  const list = (title: string, { rank, top }: Example['withWords']) =>
    html`<div><h4>${title}: own track at ${rank}</h4><ol>${top.map((one) => item(one, pairs))}</ol></div>`
  return html`<article class="card"><h3>${id}</h3><p class="soft">${wordsOf(pairs, pair)}</p>${frame === undefined ? undefined : html`<img src="${frame}" alt="A frame of ${id}">`}<div class="lists">${list('With words', withWords)}${list('Without words', withoutWords)}</div></article>
`
}

function item({ pair, score, right }: RankedExample, pairs: Pairs): Markup {
  const name = html`${pairs.trackIds[pair]!} <span class="soft">${wordsOf(pairs, pair)}</span>`
  return html`<li><span class="right">${right ? '✓' : ''}</span><span>${score.toFixed(3)}</span><span class="words">${name}</span></li>`
}
