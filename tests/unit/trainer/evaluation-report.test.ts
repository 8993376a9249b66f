/** The report of an experiment: whole, true to the figures, and safe whatever the pairs hold. */
import assert from 'node:assert/strict'
import { before, describe, test } from 'node:test'
import type { Pairs } from '../../../trainer/data/pairs.ts'
import { type Experiment, experiment } from '../../../trainer/evaluation/experiments.ts'
import { TABLE_IDS, tablesOf } from '../../../trainer/evaluation/methods.ts'
import { examplesOf } from '../../../trainer/evaluation/report/examples.ts'
import { markdownOf } from '../../../trainer/evaluation/report/markdown.ts'
import { html } from '../../../trainer/evaluation/report/markup.ts'
import { reportPage } from '../../../trainer/evaluation/report/page.ts'
import { principalPlane } from '../../../trainer/evaluation/report/principal-components.ts'
import { evaluateRetrieval, recallCurve } from '../../../trainer/evaluation/retrieval.ts'
import { parseTrainConfig } from '../../../trainer/train-config.ts'
import { temporaryFolder } from '../../support/temporary-folder.ts'
import { tinyPairs } from '../../support/tiny-pairs.ts'

const HOSTILE = '"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>\''
const PICTURE = 'data:image/png;base64,iVBORw0KGgo='

function hostile(pairs: Pairs): Pairs {
  const ids = pairs.videoIds.map((id) => `${HOSTILE}${id}`)
  const strings = pairs.texts!.strings.map((text) => (text === '' ? '' : `${text}${HOSTILE}`))
  return { ...pairs, videoIds: ids, trackIds: ids, texts: { ...pairs.texts!, strings } }
}

describe('the report', () => {
  const folder = temporaryFolder()
  const pairs = hostile(tinyPairs(30, 3))
  let result: Experiment
  let page: string
  before(async () => {
    const recipe = { dims: 8, encoder: { kind: 'residual-mlp', layers: 1, hidden: 8 }, batch: 16, epochs: 2 }
    result = await experiment({
      recipe: parseTrainConfig({ ...recipe, fusion: 'add' }),
      data: { training: tinyPairs(64, 1), validation: pairs },
      tables: tablesOf(TABLE_IDS, true),
      seeds: 1,
      poolSizes: [30],
      jobs: 2,
      folder,
    })
    page = reportPage({ experiment: result, pairs, about: [HOSTILE], frameOf: () => PICTURE })
  })

  test('ids and texts are never markup', () => {
    const tags = [...page.matchAll(/<([a-z0-9]+)((?:[^>"]|"[^"]*")*)>/g)].map(([, name, rest]) => {
      return { name, attributes: rest!.replace(/"[^"]*"/g, '') }
    })
    assert.equal(tags.filter(({ name }) => name === 'script').length, 1)
    assert.ok(page.includes('&#60;script&#62;alert(1)'), 'the ids are not shown')
    const named = new Set(tags.flatMap(({ attributes }) => attributes.match(/[a-z-]+(?==)/g) ?? []))
    assert.deepEqual(
      [...named].filter((name) => name.startsWith('on') || name === 'style'),
      [],
    )
  })

  test('nothing is asked for from anywhere, and the policy lets in its own style and script alone', () => {
    const outside = [...page.matchAll(/\b(?:src|href|xlink:href|action)="([^"]*)"/g)].map(([, url]) => url!)
    assert.ok(outside.length > 0, 'no address was found at all')
    for (const url of outside) assert.match(url, /^(#|data:image\/png)/)
    const [, style] = /<style>([^<]*)<\/style>/.exec(page)!
    assert.doesNotMatch(style!, /url\(|@import/)
    const [, policy] = /Content-Security-Policy" content="([^"]*)"/.exec(page)!
    assert.match(policy!, /^default-src &#39;none&#39;; style-src &#39;sha256-[\w+/=]+&#39;; script-src &#39;sha256-/)
  })

  test('its tables hold the figures that retrieval gives', () => {
    const { pools, tables } = result.measured[0]!
    for (const { method, bySeed } of tables.flatMap(({ rows }) => rows)) {
      const { figures } = evaluateRetrieval(result.scoresOf(method, 0), pairs.trackIds, pools)
      assert.deepEqual(bySeed[0]!.figures, figures, method.id)
      const shown = (100 * figures.recall[10]).toFixed(1)
      assert.match(markdownOf(result), new RegExp(`\\| ${escaped(method.label)} \\|[^\\n]*\\| ${escaped(shown)} \\|`))
      assert.ok(page.includes(`<td>${shown}</td>`), `${method.id}: ${shown} is not in the page`)
    }
  })

  test('it has a map with every track, queries with their tracks, and the pictures that there are', () => {
    assert.equal(page.match(/class="point c\d"/g)?.length, pairs.count)
    assert.equal(page.match(/class="tie"/g)?.length, 6)
    assert.match(page, /own track at \d+<\/h4>/)
    assert.ok(page.includes(`<img src="${PICTURE.replaceAll('"', '')}"`), 'no picture is shown')
  })
})

const escaped = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

test('values become text in elements and attributes, and markup stays what it is', () => {
  const inner = html`<b>${'<&>'}</b>`
  assert.equal(html`<a title="${'"x\''}">${[inner, 1]}</a>`.text, '<a title="&#34;x&#39;"><b>&#60;&#38;&#62;</b>1</a>')
})

test('the plane of a catalogue lies along the directions in which it varies most', () => {
  // Along (0.8, 0.6, 0) by 10 and along (-0.6, 0.8, 0) by 3, with the mean at (0, 0, 1).
  const rows = Float32Array.from([8, 6, 1, -8, -6, 1, -1.8, 2.4, 1, 1.8, -2.4, 1])
  const plane = principalPlane(rows, 3)
  assert.ok(Math.abs(plane.share - 1) < 1e-9, String(plane.share))
  const [x, y] = plane.place(Float32Array.of(4 - 1.2, 3 + 1.6, 1))
  assert.ok(Math.abs(x - 5) < 1e-5 && Math.abs(y - 2) < 1e-5, `${x}, ${y}`)
})

test('a recall curve goes through the recall of the tables, and weighs queries', () => {
  const pools = [{ queries: Uint32Array.of(0, 1, 2, 3), ranks: Uint32Array.of(1, 3, 3, 8) }]
  assert.deepEqual(recallCurve(pools, 5), [0.25, 0.25, 0.75, 0.75, 0.75])
  assert.deepEqual(recallCurve(pools, 3, [1, 0, 0, 3]), [0.25, 0.25, 0.25])
})

test('examples are drawn among queries with words, and tell where words moved the true track', () => {
  const pairs = tinyPairs(12, 5)
  pairs.texts!.rows[4] = 0
  const row = (scores: readonly number[]) => ({ queries: 12, tracks: 12, row: () => Float32Array.from(scores) })
  const rising = Array.from({ length: 12 }, (_, i) => i)
  const { drawn, helped, hurt } = examplesOf(pairs, row(rising), row(rising.toReversed()))
  assert.ok(
    [...drawn, ...helped, ...hurt].every(({ pair }) => pair !== 4),
    'a query without words',
  )
  assert.deepEqual(
    helped.map(({ pair, withWords, withoutWords }) => [pair, withWords.rank, withoutWords.rank]),
    [
      [11, 1, 12],
      [10, 2, 11],
      [9, 3, 10],
      [8, 4, 9],
    ],
  )
  assert.deepEqual(
    hurt.map(({ pair }) => pair),
    [0, 1, 2, 3],
  )
  assert.deepEqual(
    helped[0]!.withWords.top.map(({ pair, right }) => [pair, right]),
    [
      [11, true],
      [10, false],
      [9, false],
      [8, false],
      [7, false],
    ],
  )
})
