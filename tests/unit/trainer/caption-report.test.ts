/** The report on captions: whole, true to the figures, and safe whatever the texts hold. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { before, describe, test } from 'node:test'
import { captionReport } from '../../../trainer/evaluation/captions/caption-report.ts'
import { marked, samplesOf } from '../../../trainer/evaluation/captions/caption-samples.ts'
import type { CaptionSet, CheckedText } from '../../../trainer/evaluation/captions/caption-set.ts'
import { captionMarkdown, captionSummary } from '../../../trainer/evaluation/captions/caption-tables.ts'
import { type MeasuredCaptions, measureCaptions } from '../../../trainer/evaluation/captions/measure-captions.ts'
import { html } from '../../../trainer/evaluation/report/markup.ts'
import { standInProfile } from '../../support/stand-in-profile.ts'

const HOSTILE = '"><script>alert(1)</script><img src=https://evil.example/x onerror=alert(1)>\''
const { textEncoder } = standInProfile
const categoryOf = (tag: string) => (tag.startsWith('rock') ? 'genre' : 'mood')

function checked(text: string, of: Partial<CheckedText> = {}): CheckedText {
  return { text, kept: ['rock'], omitted: [`sad${HOSTILE}`], invented: [], faults: [], marks: [], ...of }
}

function measure(count: number): Promise<MeasuredCaptions> {
  const everyone = Array.from({ length: count }, (_, i) => i)
  const set = (id: string, kind: CaptionSet['kind'], textOf: (i: number) => CheckedText | undefined): CaptionSet => {
    return { id, label: id, kind, colour: 1, texts: everyone.map(textOf) }
  }
  const fallback = { method: 'data2text', code: `checks-failed|${HOSTILE}`, faults: ['invented'] }
  return measureCaptions({
    tracks: everyone.map((i) => ({ id: `${i}${HOSTILE}`, tags: ['rock', `sad${HOSTILE}`] })),
    people: set('people', 'people', (i) => checked(`People wrote text ${i} ${HOSTILE}`)),
    sets: [
      set('first', 'draft', (i) => (i < 3 ? undefined : checked(`First ${i}`, { faults: ['invented', 'invented'] }))),
      {
        ...set('model', 'method', (i) =>
          i < 3 ? checked(`Instead ${i}`, { fallback }) : checked(`Rock ${i} ${HOSTILE}`, { invented: [HOSTILE] }),
        ),
        cost: { seconds: 2, atATime: 8, inputTokens: 900, outputTokens: 90, usd: 0.5, cached: 1 },
      },
      set('tags', 'method', () => checked('rock, sad')),
    ],
    categories: ['genre', 'mood'],
    categoryOf,
    encode: (texts) => textEncoder.encode(texts),
    dims: textEncoder.dims,
    poolSizes: [10, 500],
    seed: 1,
  })
}

describe('the report on captions', () => {
  let measured: MeasuredCaptions
  let page: string
  before(async () => {
    measured = await measure(40)
    page = captionReport(measured, [HOSTILE])
  })

  test('ids, tags, texts and reasons are never markup', () => {
    const tags = [...page.matchAll(/<([a-z0-9]+)((?:[^>"]|"[^"]*")*)>/g)].map(([, name, rest]) => {
      return { name, attributes: rest!.replace(/"[^"]*"/g, '') }
    })
    assert.ok(tags.length > 100)
    assert.deepEqual(
      tags.filter(({ name }) => name === 'script' || name === 'img'),
      [],
    )
    assert.ok(page.includes('&#60;script&#62;alert(1)'), 'the texts are not shown')
    const named = new Set(tags.flatMap(({ attributes }) => attributes.match(/[a-z-]+(?==)/g) ?? []))
    assert.deepEqual(
      [...named].filter((name) => name.startsWith('on') || ['style', 'src'].includes(name)),
      [],
    )
  })

  test('nothing is asked for from anywhere, and the policy lets in its own style alone', () => {
    const [, style] = /<style>([^<]*)<\/style>/.exec(page)!
    assert.doesNotMatch(style!, /url\(|@import/)
    const hash = createHash('sha256').update(style!).digest('base64')
    const [, policy] = /Content-Security-Policy" content="([^"]*)"/.exec(page)!
    assert.equal(
      policy!.replaceAll('&#39;', "'"),
      `default-src 'none'; style-src 'sha256-${hash}'; img-src data:; base-uri 'none'; form-action 'none'`,
    )
    for (const [, url] of page.matchAll(/\b(?:src|href|action)="([^"]*)"/g)) assert.match(url!, /^#/)
  })

  test('its tables are those of the Markdown, and every writer has its row', () => {
    const markdown = captionMarkdown(measured)
    assert.match(markdown, /### The right caption among N = 10\n/)
    assert.deepEqual([measured.poolSizes, measured.leftOut], [[10], [500]])
    // 37 of 77 tags that the model's texts speak of were invented, one a text.
    assert.match(markdown, /^\| model \| 40 \| 51\.9 \(\d/m)
    assert.match(markdown, /^\| first \| 37 \| 100\.0 \(/m)
    assert.match(markdown, /^\| chance \| 10\.0 \| 50\.0 \| 100\.0 \| 5\.5 \|$/m)
    assert.ok(page.includes('<td>51.9 ('))
    assert.ok(page.includes('19.5') && page.includes('12.821'), 'speed or price is not in the page')
    const columns = markdown.split('\n').filter((line) => line.startsWith('| model |'))
    assert.deepEqual(
      columns.map((line) => line.split(/(?<!\\) \| /).length),
      [7, 8, 4, 5, 10],
    )
  })

  test('what fell back is counted, with why and with what was wrong', () => {
    const { fallbacks } = measured.rows.find(({ set }) => set.id === 'model')!
    assert.deepEqual([fallbacks.count, fallbacks.faults], [3, [['invented', 3]]])
    const { rows } = captionSummary(measured) as { rows: { id: string; faults: object; closeness?: object }[] }
    assert.deepEqual(rows.find(({ id }) => id === 'first')!.faults, { invented: 37 })
    assert.match(page, /class="badge">fallback to data2text: checks-failed/)
    assert.match(page, /Why another method stood in for .*<title>invented: \d/s)
    assert.match(page, /Faults of .* \(rings: people&#39;s captions\)/)
  })

  test('a handful of tracks gives a page too, that says what is too few', async () => {
    for (const count of [1, 5]) {
      const few = await measure(count)
      const small = captionReport(few, [])
      assert.match(small, /too few/)
      assert.deepEqual(small.match(/.{60}(?:NaN|undefined|Infinity).{20}/g), null)
    }
  })
})

describe('samples', () => {
  test('some are drawn, and some are where the texts differ most', async () => {
    const measured = await measure(40)
    const { drawn, differing } = samplesOf(measured)
    assert.equal(new Set(drawn).size, 8)
    const alike = (track: number) => {
      const [a, b] = [2, 3].map((row) => measured.vectors[row]![track]!)
      return a!.reduce((sum, value, i) => sum + value * b![i]!, 0)
    }
    const least = Math.min(...measured.tracks.map((_, track) => alike(track)))
    assert.equal(alike(differing[0]!), least)
    assert.deepEqual(samplesOf(measured), { drawn, differing })
  })

  test('what a text says of its tags is marked where it stands', () => {
    const text = checked('<Guitar> and a choir', {
      marks: [
        { at: 1, length: 6, kind: 'kept' },
        { at: 15, length: 5, kind: 'invented' },
      ],
    })
    assert.equal(
      html`${marked(text)}`.text,
      '&#60;<mark class="kept">Guitar</mark>&#62; and a <mark class="invented">choir</mark>',
    )
    assert.equal(html`${marked(checked('plain & simple'))}`.text, 'plain &#38; simple')
  })
})
