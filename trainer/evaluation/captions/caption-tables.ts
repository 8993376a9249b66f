/** The figures of captions as tables for Markdown and the page, and as JSON. Shares are in %. */
import type { Interval } from '../bootstrap.ts'
import { intervalText, markdownTable, percent } from '../report/markdown.ts'
import type { Distance } from './closeness.ts'
import { VECTORS_A_DIMENSION } from './frechet.ts'
import type { MeasuredCaptions, MeasuredSet } from './measure-captions.ts'

export interface CaptionTable {
  readonly title: string
  /** What the columns say. */
  readonly note: string
  /** The head first. */
  readonly cells: readonly (readonly string[])[]
}

/** What distances are shown times, so that they have digits. */
export const SHOWN = { frechet: 100, mmd: 1_000 } as const

export function captionTables(measured: MeasuredCaptions): CaptionTable[] {
  const { rows, poolSizes } = measured
  return [
    fidelityTable(rows),
    diversityTable(rows),
    ...(rows.some(({ closeness }) => closeness !== undefined) ? [closenessTable(measured)] : []),
    ...poolSizes.map((size) => retrievalTable(rows, size)),
    costTable(rows),
  ]
}

function fidelityTable(rows: readonly MeasuredSet[]): CaptionTable {
  const head = ['', 'texts', 'precision (95 %)', 'recall (95 %)', 'no invention', 'keep every tag', 'tags kept a text']
  return {
    title: 'Tags in the texts',
    note: 'Tags are read back from every text by the same lexicon, whoever wrote it. Precision: of the tags that the texts speak of, those that were given. Recall: of the tags given, those that the texts speak of. What only follows from a tag given, such as a guitar from an acoustic guitar, and what the lexicon does not know, count for neither; in captions of people, what the aspects say without a tag of the vocabulary is no invention. Intervals are by bootstrap over the tracks.',
    cells: [
      head,
      ...rows.map(({ set, diversity, fidelity }) => [
        set.label,
        String(diversity.texts),
        interval(fidelity.precision),
        interval(fidelity.recall),
        interval(fidelity.noInvention),
        interval(fidelity.keepAll),
        interval(fidelity.keptShare),
      ]),
    ],
  }
}

function diversityTable(rows: readonly MeasuredSet[]): CaptionTable {
  const words = rows[0]!.diversity.atEqualWords.words
  const head = ['', 'words a text', 'vocabulary', 'distinct-1', 'distinct-2', 'distinct-3', 'self-BLEU-4', 'repeated']
  return {
    title: 'Variety',
    note: `Vocabulary and distinct-n at ${words} words of each set, distinct-n of the whole set in brackets; self-BLEU-4 of each text against the same number of others of its set, lower being more varied; repeated: texts that are said more than once.`,
    cells: [
      head,
      ...rows.map(({ set, diversity }) => [
        set.label,
        `${diversity.meanLength.toFixed(1)} ± ${diversity.sdLength.toFixed(1)}`,
        String(diversity.atEqualWords.vocabulary),
        ...diversity.distinct.map((whole, n) => `${percent(diversity.atEqualWords.distinct[n]!)} (${percent(whole)})`),
        diversity.selfBleu === undefined ? '' : percent(diversity.selfBleu),
        percent(diversity.repeatedShare),
      ]),
    ],
  }
}

function closenessTable({ rows, dims }: MeasuredCaptions): CaptionTable {
  return {
    title: "Distance to people's captions",
    note: `Between text embeddings of ${dims} dimensions: a method's texts for one half of the tracks, people's captions of the other half; in brackets the least and the most of the splits. People's own row is the floor. ${frechetNote(rows, dims)} MMD² is unbiased: no distance is 0 on average, and some splits lie below.`,
    cells: [
      ['', 'on each side', `Fréchet × ${SHOWN.frechet}`, `MMD² × ${SHOWN.mmd}`],
      ...rows.map(({ set, closeness }) => [
        set.kind === 'people' ? `${set.label} (the floor)` : set.label,
        String(closeness?.half ?? ''),
        closeness?.frechet === undefined ? 'too few' : spread(closeness.frechet, SHOWN.frechet),
        closeness === undefined ? 'too few' : spread(closeness.mmd, SHOWN.mmd),
      ]),
    ],
  }
}

/** What N the Fréchet distance needs, and whether it is there. */
export function frechetNote(rows: readonly MeasuredSet[], dims: number): string {
  const half = rows[0]!.closeness?.half ?? 0
  const wanted = VECTORS_A_DIMENSION * dims
  const needs = `The Fréchet distance takes more than ${dims} texts on each side, and wants ${wanted}, ${2 * wanted} tracks in all`
  if (half <= dims) return `${needs}: there are too few.`
  return half < wanted ? `${needs}: with fewer it comes out too large, for the floor as well.` : `${needs}.`
}

function retrievalTable(rows: readonly MeasuredSet[], size: number): CaptionTable {
  const found = rows.flatMap(({ set, retrieval }) => {
    const at = retrieval.find((one) => one.size === size)
    return at === undefined ? [] : [{ label: set.label, ...at.figures }]
  })
  const chance = [1, 5, 10].map((k) => percent(Math.min(1, k / size)))
  return {
    title: `The right caption among N = ${size}`,
    note: `Each text of a method asks for its track's caption among ${size} captions of people, in ten pools drawn by the seed.`,
    cells: [
      ['', 'R@1 (95 %)', 'R@5 (95 %)', 'R@10 (95 %)', 'median rank'],
      ...found.map(({ label, recall, medianRank }) => [
        label,
        ...([1, 5, 10] as const).map((k) => intervalText(recall[k])),
        medianRank.value.toFixed(1),
      ]),
      ['chance', ...chance, ((size + 1) / 2).toFixed(1)],
    ],
  }
}

function costTable(rows: readonly MeasuredSet[]): CaptionTable {
  const written = rows.flatMap(({ set: { label, cost }, diversity: { texts }, fallbacks }) =>
    cost === undefined ? [] : [{ label, cost, texts, fallbacks }],
  )
  return {
    title: 'Cost and speed',
    note: 'Wall time of all texts, as many at a time as stands there. Texts that were kept from before cost nothing and take no time. Fell back: another method stood in, since every text of the model failed a check, or there was none.',
    cells: [
      [
        '',
        'seconds',
        'at a time',
        'texts a second',
        'kept from before',
        'tokens in',
        'tokens out',
        'US$',
        'US$ a 1,000',
        'fell back',
      ],
      ...written.map(({ label, cost, texts, fallbacks }) => [
        label,
        cost.seconds.toFixed(cost.seconds < 10 ? 2 : 0),
        String(cost.atATime),
        texts === cost.cached ? '' : rate((texts - cost.cached) / cost.seconds),
        String(cost.cached),
        String(cost.inputTokens),
        String(cost.outputTokens),
        cost.usd.toFixed(4),
        texts === cost.cached ? '' : ((1_000 * cost.usd) / (texts - cost.cached)).toFixed(3),
        texts === 0 ? '' : `${percent(fallbacks.count / texts)}${reasons([...fallbacks.codes, ...fallbacks.faults])}`,
      ]),
    ],
  }
}

function reasons(counts: readonly [string, number][]): string {
  return counts.length === 0 ? '' : ` (${counts.map(([kind, count]) => `${kind} ${count}`).join(', ')})`
}

export function rate(perSecond: number): string {
  return perSecond >= 100 ? String(Math.round(perSecond)) : perSecond.toPrecision(2)
}

function interval(given: Interval | undefined): string {
  return given === undefined ? '' : intervalText(given)
}

function spread({ mean, bySplit }: Distance, times: number): string {
  const shown = (value: number) => (times * value).toFixed(2).replace('-', '−')
  return `${shown(mean)} (${shown(Math.min(...bySplit))} to ${shown(Math.max(...bySplit))})`
}

export function captionMarkdown(measured: MeasuredCaptions): string {
  return captionTables(measured)
    .map(({ title, note, cells }) => `### ${title}\n\n${note}\n\n${markdownTable(cells.map((row) => row.map(cell)))}\n`)
    .join('\n')
}

/** Reasons of a fallback come from elsewhere. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replace(/\s+/g, ' ')
}

/** Unrounded, for programs. */
export function captionSummary({ tracks, rows, dims, poolSizes, leftOut, seed }: MeasuredCaptions): object {
  return {
    tracks: tracks.length,
    dims,
    seed,
    poolSizes,
    leftOut,
    rows: rows.map(({ set, diversity, fidelity, closeness, retrieval, faults, fallbacks }) => {
      const { lengths: _, ...variety } = diversity
      return {
        id: set.id,
        label: set.label,
        kind: set.kind,
        fidelity,
        diversity: variety,
        closeness,
        retrieval: retrieval.map(({ size, figures }) => ({ size, ...figures })),
        faults: Object.fromEntries(faults),
        fallbacks: {
          count: fallbacks.count,
          codes: Object.fromEntries(fallbacks.codes),
          faults: Object.fromEntries(fallbacks.faults),
        },
        cost: set.cost,
      }
    }),
  }
}
