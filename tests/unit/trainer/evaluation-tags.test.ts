import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type HeardTrack, measureTags, type TagsInput } from '../../../trainer/evaluation/tags/measure-tags.ts'
import { tagMarkdown, tagReport } from '../../../trainer/evaluation/tags/tag-report.ts'
import {
  baseRateInterval,
  bestScore,
  claimCounts,
  claimCurve,
  GRID,
  type LabelledTrack,
  LEAST_LABELLED,
  labelCurve,
  labelScore,
  matchBaseRate,
  reconcile,
} from '../../../trainer/evaluation/tags/thresholds.ts'

const row = (...values: number[]) => Float32Array.from(values)
const at = (threshold: number) => GRID.indexOf(threshold)

test('fewer tags are claimed the higher the threshold, and a tag at the threshold is claimed', () => {
  const counts = claimCounts(row(0.25, 0.5, 0.75, 0.9), [0, 1, 2])
  assert.deepEqual(
    [counts[at(0.2)], counts[at(0.25)], counts[at(0.5)], counts[at(0.51)], counts[at(0.8)]],
    [3, 3, 2, 1, 0],
  )
  const curve = claimCurve([counts, claimCounts(row(0.1, 0.1, 0.1, 0.9), [0, 1, 2])])
  assert.equal(curve[at(0.25)], 1.5)
})

test('the base rate is met by the least threshold that claims no more than is named', () => {
  const rows = [row(0.3, 0.6), row(0.4, 0.8), row(0.5, 0.55)]
  const curve = claimCurve(rows.map((one) => claimCounts(one, [0, 1])))
  assert.deepEqual(matchBaseRate(curve, 1), { threshold: 0.51, state: 'met' })
  assert.deepEqual(matchBaseRate(curve, 4 / 3), { threshold: 0.41, state: 'met' })
})

test('where no threshold claims as many as are named, or each claims more, that is said', () => {
  const curve = claimCurve([claimCounts(row(0.3), [0])])
  assert.deepEqual(matchBaseRate(curve, 5), { threshold: GRID[0], state: 'always-fewer' })
  const sure = claimCurve([claimCounts(row(0.999), [0])])
  assert.deepEqual(matchBaseRate(sure, 0.5), { threshold: GRID.at(-1), state: 'always-more' })
})

test('the interval holds the threshold, is the same for the same seed and narrower for more tracks', () => {
  const tracks = (count: number) =>
    Array.from({ length: count }, (_, i) => claimCounts(row(((i * 37) % 100) / 100, ((i * 61) % 100) / 100), [0, 1]))
  const named = Array.from({ length: 200 }, (_, i) => i % 2)
  const few = baseRateInterval(tracks(10), named)
  const many = baseRateInterval(tracks(200), named)
  const { threshold } = matchBaseRate(claimCurve(tracks(200)), 0.5)
  assert.ok(many[0] <= threshold && threshold <= many[1])
  assert.ok(many[1] - many[0] < few[1] - few[0])
  assert.deepEqual(baseRateInterval(tracks(10), named), few)
})

const labelled = (confidences: Float32Array, right: number[], either: number[] = []): LabelledTrack => ({
  confidences,
  right: new Set(right),
  either: new Set(either),
})

test('precision, recall and F1 count pairs of track and tag, and leave out what may be either', () => {
  const tracks = [labelled(row(0.9, 0.6, 0.7), [0], [2]), labelled(row(0.2, 0.8, 0.1), [0])]
  const score = labelScore(tracks, [0, 1, 2], 0.5)
  assert.deepEqual([score.precision, score.recall], [1 / 3, 1 / 2])
  assert.ok(Math.abs(score.f1 - 0.4) < 1e-9)
  assert.equal(labelScore(tracks, [0, 1, 2], 0.95).precision, 1)
})

test('the best F1 is found, of equal ones at the highest threshold', () => {
  const tracks = [labelled(row(0.9, 0.3), [0]), labelled(row(0.8, 0.4), [0])]
  assert.deepEqual(
    [bestScore(labelCurve(tracks, [0, 1])).threshold, bestScore(labelCurve(tracks, [0, 1])).f1],
    [0.8, 1],
  )
})

test('labels raise a threshold and never lower it, and a few say nothing', () => {
  assert.equal(reconcile(0.5, 0.7, LEAST_LABELLED), 0.7)
  assert.equal(reconcile(0.5, 0.3, LEAST_LABELLED), 0.5)
  assert.equal(reconcile(0.5, 0.7, LEAST_LABELLED - 1), 0.5)
  assert.equal(reconcile(0.5, undefined, 0), 0.5)
})

const columns = [
  { category: 'instrument', tag: 'guitar' },
  { category: 'instrument', tag: 'acoustic guitar' },
  { category: 'genre', tag: 'folk' },
]
const track = (name: string, whole: Float32Array, labels?: HeardTrack['labels']): HeardTrack => ({
  name,
  group: 'a',
  whole,
  clips: { '10 s': whole.map((value) => value / 2) },
  ...(labels === undefined ? {} : { labels }),
})
const input: TagsInput = {
  columns,
  tracks: [track('one', row(0.9, 0.6, 0.2)), track('two', row(0.7, 0.3, 0.4))],
  heldOut: [
    track('three', row(0.9, 0.1, 0.9), new Map([['genre', { right: new Set(['folk']), either: new Set<string>() }]])),
  ],
  named: [
    [{ category: 'instrument', tag: 'acoustic guitar' }],
    [{ category: 'instrument', tag: 'banjo' }],
    [{ category: 'genre', tag: 'folk' }],
    [],
  ],
  before: { instrument: 0.35, genre: 0.35 },
}

test('only tags that can be heard are named, and a special one names its general one', () => {
  const [instrument, genre] = measureTags(input)
  assert.deepEqual([instrument!.category, instrument!.named, genre!.named], ['instrument', 0.5, 0.25])
  assert.deepEqual(
    instrument!.byTag.map(({ tag, named }) => [tag, named]),
    [
      ['guitar', 0.25],
      ['acoustic guitar', 0.25],
    ],
  )
})

test('what is claimed is told of the whole, of clips, of before and of held-out music at the threshold found', () => {
  const [instrument, genre] = measureTags(input)
  assert.equal(instrument!.threshold, 0.7) // one claim in two tracks
  assert.deepEqual([instrument!.claimed, instrument!.claimedBefore, instrument!.claimedOfClips['10 s']], [0.5, 1.5, 0])
  assert.deepEqual([instrument!.none, instrument!.noneNamed], [0.5, 0.75])
  assert.deepEqual([genre!.heldOut.claimed, genre!.heldOut.score?.f1, genre!.labelled], [1, 1, 0])
})

test('the report shows every category with its threshold, escapes what it is given and lets in no script', () => {
  const measured = measureTags(input)
  const page = tagReport(measured, ['<b>about</b>'])
  assert.match(page, /&#60;b&#62;about/)
  assert.match(page, /default-src &#39;none&#39;/)
  assert.ok(!page.includes('<script'))
  for (const { category, threshold } of measured) {
    assert.ok(page.includes(`id="${category}"`))
    assert.match(tagMarkdown(measured, []), new RegExp(`\\| ${category} \\|.*\\| ${threshold.toFixed(2)} \\|`))
  }
})
