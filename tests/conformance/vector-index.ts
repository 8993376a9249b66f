/** What every adapter of the VectorIndex port must do. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { seededRandom } from '../../model/random.ts'
import { InvalidRecordError, InvalidRequestError, SetupError, ShapeError } from '../../ports/errors.ts'
import type { Attributes, Filter, IndexName, IndexRow, VectorIndex } from '../../ports/vector-index.ts'
import { clusteredVectors } from '../support/vectors.ts'

export interface VectorIndexSubject {
  open(): Promise<VectorIndex>
  /** Closes and opens it again on the same data. */
  reopen(): Promise<VectorIndex>
  close(): Promise<void>
  /** Resolves when an accelerator that is built in the background is in use. */
  settled?(): Promise<void>
  /** Largest error of a score; adapters that store half floats give more. Default 1e-5. */
  readonly scoreTolerance?: number
}

const DIMS = 32

export function vectorIndexConformance(adapter: string, subject: VectorIndexSubject): void {
  describe(`VectorIndex of ${adapter}`, () => {
    const tolerance = subject.scoreTolerance ?? 1e-5
    let index: VectorIndex
    let indexNumber = 0
    before(async () => {
      index = await subject.open()
    })
    after(() => subject.close())

    async function freshIndex(rows: readonly IndexRow[] = [], dims = DIMS): Promise<IndexName> {
      const name = { release: `release-${indexNumber++}`, kind: 'music' } as const
      await index.create(name, dims)
      await index.upsert(name, rows)
      return name
    }
    const ids = async (name: IndexName, vector: Float32Array, k: number, filter?: Filter) =>
      (await index.search(name, vector, k, filter)).map(({ id }) => id)

    test('hits come best first with their cosine, and a search for more than there is gives all', async () => {
      const name = await freshIndex([row('far', turned(2)), row('near', turned(0.1)), row('middle', turned(1))])
      const hits = await index.search(name, turned(0), 10)
      assert.deepEqual(
        hits.map(({ id }) => id),
        ['near', 'middle', 'far'],
      )
      for (const [i, angle] of [0.1, 1, 2].entries()) near(hits[i]!.score, Math.cos(angle), tolerance)
      assert.equal((await index.search(name, turned(0), 2)).length, 2)
      assert.deepEqual(await index.search(await freshIndex(), turned(0), 5), [])
    })

    test('equal scores are ordered by id, also where k cuts through them', async () => {
      const name = await freshIndex(['d', 'a', 'c', 'e', 'b'].map((id) => row(id, turned(0.5))))
      assert.deepEqual(await ids(name, turned(0), 3), ['a', 'b', 'c'])
      assert.deepEqual(await ids(name, turned(0), 9), ['a', 'b', 'c', 'd', 'e'])
    })

    test('no score is above 1 or below -1', async () => {
      const long = turned(0).map((x) => x * 1.0005)
      const name = await freshIndex([
        row('same', long),
        row(
          'opposite',
          long.map((x) => -x),
        ),
      ])
      for (const { score } of await index.search(name, long, 2)) assert.ok(Math.abs(score) <= 1, `score ${score}`)
    })

    test('an upsert of the same id leaves one row, with the new vector and attributes [idempotent]', async () => {
      const name = await freshIndex([row('a', turned(0), { genre: ['rock'], bpm: 90 })])
      await index.upsert(name, [row('a', turned(0), { genre: ['rock'], bpm: 90 })])
      await index.upsert(name, [row('a', turned(2), { genre: ['jazz'] }), row('b', turned(1))])
      assert.equal(await index.count(name), 2)
      assert.deepEqual(await ids(name, turned(0), 5), ['b', 'a'])
      assert.equal(await index.count(name, [{ field: 'genre', anyOf: ['rock'] }]), 0)
      assert.equal(await index.count(name, [{ field: 'bpm', min: 0 }]), 0)
      assert.equal(await index.count(name, [{ field: 'genre', anyOf: ['jazz'] }]), 1)
    })

    test('of one id twice in a call the last row counts', async () => {
      const name = await freshIndex([row('a', turned(1)), row('a', turned(0.2))])
      const hits = await index.search(name, turned(0), 5)
      assert.equal(hits.length, 1)
      near(hits[0]!.score, Math.cos(0.2), tolerance)
    })

    test('a row that was removed and put back is there once; removing what is not there does nothing', async () => {
      const name = await freshIndex([row('a', turned(0)), row('b', turned(1))])
      await index.remove(name, ['a', 'nobody'])
      await index.remove(name, ['a'])
      assert.deepEqual(await ids(name, turned(0), 5), ['b'])
      await index.upsert(name, [row('a', turned(0))])
      assert.deepEqual(await ids(name, turned(0), 5), ['a', 'b'])
    })

    test('releases and kinds do not see each other [releases]', async () => {
      const one = await freshIndex([row('a', turned(0))])
      const other = await freshIndex([row('b', turned(0))])
      const videos = { ...one, kind: 'video' } as const
      await index.create(videos, DIMS)
      await index.upsert(videos, [row('c', turned(0))])
      await index.remove(other, ['a'])
      assert.deepEqual(await ids(one, turned(0), 5), ['a'])
      assert.deepEqual(await ids(other, turned(0), 5), ['b'])
      assert.deepEqual(await ids(videos, turned(0), 5), ['c'])
    })

    test('creating twice keeps the rows; other dims are refused', async () => {
      const name = await freshIndex([row('a', turned(0))])
      await Promise.all([index.create(name, DIMS), index.create(name, DIMS)])
      assert.equal(await index.count(name), 1)
      await assert.rejects(index.create(name, DIMS + 1), isSetupError('dims-mismatch'))
    })

    test('an index that is not there is named in the error', async () => {
      const name = { release: 'nowhere', kind: 'music' } as const
      const unknown = isSetupError('unknown-index', /nowhere/)
      await assert.rejects(index.search(name, turned(0), 1), unknown)
      await assert.rejects(index.upsert(name, [row('a', turned(0))]), unknown)
      await assert.rejects(index.setAttributes(name, 'a', {}), unknown)
      await assert.rejects(index.remove(name, ['a']), unknown)
      await assert.rejects(index.vectors(name, ['a']), unknown)
      await assert.rejects(index.count(name), unknown)
    })

    test('a dropped index is gone, may be dropped again, and begins empty when it is created again', async () => {
      const name = await freshIndex([row('a', turned(0), { genre: ['rock'] })])
      await index.drop(name)
      await index.drop(name)
      await assert.rejects(index.count(name), isSetupError('unknown-index'))
      assert.ok(!(await index.indexes()).some(({ release }) => release === name.release))
      await index.create(name, DIMS * 2)
      assert.equal(await index.count(name), 0)
    })

    const broken: readonly [string, (good: Float32Array) => Float32Array][] = [
      ['of other dims', (good) => good.slice(1)],
      ['with NaN', (good) => good.with(3, Number.NaN)],
      ['with Infinity', (good) => good.with(3, Number.POSITIVE_INFINITY)],
      ['of zeros', (good) => good.map(() => 0)],
      ['that is not of unit norm', (good) => good.map((x) => x * 1.01)],
    ]
    for (const [what, breakIt] of broken) {
      test(`a vector ${what} is refused and nothing of its call is written`, async () => {
        const name = await freshIndex([row('kept', turned(0))])
        const bad = breakIt(turned(1))
        const call = index.upsert(name, [row('new', turned(1)), row('kept', turned(2)), row('bad', bad)])
        await assert.rejects(call, ShapeError)
        await assert.rejects(index.search(name, bad, 1), ShapeError)
        const hits = await index.search(name, turned(0), 5)
        assert.deepEqual(
          hits.map(({ id }) => id),
          ['kept'],
        )
        near(hits[0]!.score, 1, tolerance)
      })
    }

    test('bad ids, bad numbers, k below 1 and ranges of NaN are refused', async () => {
      const name = await freshIndex([row('a', turned(0), { bpm: 90 })])
      for (const id of ['', 'x'.repeat(513)]) {
        await assert.rejects(index.upsert(name, [row(id, turned(0))]), InvalidRecordError)
      }
      const notFinite = { bpm: Number.NaN }
      await assert.rejects(index.upsert(name, [row('b', turned(0), notFinite)]), InvalidRecordError)
      await assert.rejects(index.setAttributes(name, 'a', notFinite), InvalidRecordError)
      for (const k of [0, -1, 1.5, Number.NaN]) {
        await assert.rejects(index.search(name, turned(0), k), InvalidRequestError)
      }
      await assert.rejects(index.count(name, [{ field: 'bpm', min: Number.NaN }]), InvalidRequestError)
      assert.equal(await index.count(name, [{ field: 'bpm', min: 90, max: 90 }]), 1)
    })

    test('filters: whole tags, exclusions, closed ranges, all together, and rows without the field', async () => {
      const name = await freshIndex([
        row('rock', turned(0.1), { genre: ['rock', 'indie pop'], bpm: 120 }),
        row('jazz', turned(0.2), { genre: ['jazz'], bpm: 90 }),
        row('bare', turned(0.3)),
      ])
      const cases: [Filter, string[]][] = [
        [[{ field: 'genre', anyOf: ['rock', 'jazz'] }], ['rock', 'jazz']],
        [[{ field: 'genre', anyOf: ['indie'] }], []],
        [[{ field: 'genre', anyOf: ['indie pop'] }], ['rock']],
        [[{ field: 'genre', anyOf: [] }], []],
        [[{ field: 'genre', noneOf: ['rock'] }], ['jazz', 'bare']],
        [[{ field: 'genre', noneOf: [] }], ['rock', 'jazz', 'bare']],
        [[{ field: 'bpm', min: 90, max: 119.5 }], ['jazz']],
        [[{ field: 'bpm', min: 90 }], ['rock', 'jazz']],
        [[{ field: 'bpm', max: 90 }], ['jazz']],
        [[{ field: 'bpm', anyOf: ['120'] }], []],
        [[{ field: 'genre', min: 0 }], []],
        [[{ field: 'none', anyOf: ['x'] }], []],
        [[{ field: 'none', noneOf: ['x'] }], ['rock', 'jazz', 'bare']],
        [
          [
            { field: 'genre', anyOf: ['rock', 'jazz'] },
            { field: 'bpm', min: 100 },
            { field: 'genre', noneOf: ['pop'] },
          ],
          ['rock'],
        ],
      ]
      for (const [filter, expected] of cases) {
        assert.deepEqual(await ids(name, turned(0), 5, filter), expected, JSON.stringify(filter))
        assert.equal(await index.count(name, filter), expected.length, JSON.stringify(filter))
      }
    })

    test('tags and fields with quotes, spaces, commas, braces and other scripts match as they are', async () => {
      const odd = ['a "b" c', "d'e", 'f,g', '{h|i}', 'j\\k', 'ロック', 'l-m', '*', '@n:{o}', '__proto__']
      const name = await freshIndex(odd.map((tag, i) => row(`row-${i}`, turned(i / 10), { mood: [tag] })))
      for (const [i, tag] of odd.entries()) {
        assert.deepEqual(await ids(name, turned(0), 20, [{ field: 'mood', anyOf: [tag] }]), [`row-${i}`], tag)
        assert.equal(await index.count(name, [{ field: 'mood', noneOf: [tag] }]), odd.length - 1, tag)
      }
    })

    test('setAttributes replaces them all, keeps the vector and leaves unknown ids alone', async () => {
      const name = await freshIndex([row('a', turned(0.4), { genre: ['rock'], bpm: 90 })])
      await index.setAttributes(name, 'a', { mood: ['calm'] })
      await index.setAttributes(name, 'nobody', { mood: ['calm'] })
      assert.equal(await index.count(name, [{ field: 'bpm', min: 0 }]), 0)
      assert.equal(await index.count(name, [{ field: 'genre', anyOf: ['rock'] }]), 0)
      const hits = await index.search(name, turned(0), 5, [{ field: 'mood', anyOf: ['calm'] }])
      assert.equal(hits.length, 1)
      near(hits[0]!.score, Math.cos(0.4), tolerance)
      assert.equal(await index.count(name), 1)
    })

    test('vectors gives back what was put, as copies, without the ids that are not there', async () => {
      const given = turned(0.7)
      const name = await freshIndex([row('a', given)])
      const found = await index.vectors(name, ['a', 'nobody'])
      assert.deepEqual([...found.keys()], ['a'])
      for (const [i, x] of found.get('a')!.entries()) near(x, turned(0.7)[i]!, tolerance)
      found.get('a')!.fill(0)
      given.fill(0)
      near((await index.search(name, turned(0), 1))[0]!.score, Math.cos(0.7), tolerance)
    })

    test('writes made at the same time are all seen when they resolve [visible]', async () => {
      const name = await freshIndex()
      await Promise.all(
        Array.from({ length: 50 }, async (_, i) => {
          await index.upsert(name, [row(`row-${i}`, turned(i / 50))])
          assert.equal((await index.vectors(name, [`row-${i}`])).size, 1)
        }),
      )
      assert.equal((await index.search(name, turned(0), 100)).length, 50)
    })

    test('rows, attributes, dims and removals are there after opening again [durable]', async () => {
      const name = await freshIndex([row('a', turned(0.1), { genre: ['rock'] }), row('b', turned(0.2), { bpm: 3 })])
      await index.remove(name, ['b'])
      await index.upsert(name, [row('c', turned(0.3))])
      await index.setAttributes(name, 'c', { bpm: 4 })
      const dropped = await freshIndex([row('x', turned(0))])
      await index.drop(dropped)
      index = await subject.reopen()
      assert.deepEqual(await ids(name, turned(0), 5), ['a', 'c'])
      assert.deepEqual(await ids(name, turned(0), 5, [{ field: 'bpm', min: 4 }]), ['c'])
      const mine = (await index.indexes()).filter(({ release }) => [name.release, dropped.release].includes(release))
      assert.deepEqual(mine, [{ ...name, dims: DIMS, rows: 2 }])
    })

    test('the generation stays the same, also after opening again [durable]', async () => {
      const generation = await index.generation()
      assert.equal(await index.generation(), generation)
      index = await subject.reopen()
      assert.equal(await index.generation(), generation)
    })

    test('a generation under construction serves once it is promoted and not before, with its own indexes alone', async () => {
      const name = await freshIndex([row('old', turned(0))])
      const before = await index.generation()
      const rebuild = await index.rebuild()
      await rebuild.index.create(name, DIMS * 2)
      await rebuild.index.drop(name)
      await rebuild.index.create(name, DIMS)
      await rebuild.index.upsert(name, [row('new', turned(0)), row('gone', turned(0))])
      await rebuild.index.remove(name, ['gone'])
      await rebuild.index.setAttributes(name, 'new', { genre: ['rock'] })
      assert.deepEqual(await ids(name, turned(0), 5), ['old'])
      await index.upsert(name, [row('live', turned(1))])
      assert.deepEqual([...(await rebuild.index.vectors(name, ['old', 'live', 'new'])).keys()], ['new'])
      assert.equal(await index.generation(), before)
      const other = { ...name, kind: 'video' } as const
      await index.create(other, DIMS)

      await rebuild.promote()
      await rebuild.promote()
      assert.deepEqual(await ids(name, turned(0), 5, [{ field: 'genre', anyOf: ['rock'] }]), ['new'])
      assert.deepEqual(await index.indexes(), [{ ...name, dims: DIMS, rows: 1 }])
      await assert.rejects(index.count(other), isSetupError('unknown-index'))
      const after = await index.generation()
      assert.notEqual(after, before)
      assert.equal(await rebuild.index.generation(), after)
      await index.upsert(name, [row('next', turned(1))])
      index = await subject.reopen()
      assert.equal(await index.generation(), after)
      assert.deepEqual(await ids(name, turned(0), 5), ['new', 'next'])
    })

    test('who has named a generation cannot write once it was replaced, until it names the new one', async () => {
      const name = await freshIndex([row('old', turned(0))])
      await index.generation()
      const rebuild = await index.rebuild()
      await rebuild.index.create(name, DIMS)
      await rebuild.promote()
      const ended = isSetupError('generation-ended')
      await assert.rejects(index.upsert(name, [row('stale', turned(0))]), ended)
      await assert.rejects(index.setAttributes(name, 'old', {}), ended)
      await assert.rejects(index.remove(name, ['old']), ended)
      await assert.rejects(index.create({ ...name, kind: 'video' }, DIMS), ended)
      assert.deepEqual(await ids(name, turned(0), 5), [])
      await index.generation()
      await index.upsert(name, [row('fresh', turned(0))])
      assert.deepEqual(await ids(name, turned(0), 5), ['fresh'])
    })

    test('one generation is under construction at a time, and one that is discarded leaves what serves as it was', async () => {
      const name = await freshIndex([row('kept', turned(0))])
      const rebuild = await index.rebuild()
      await rebuild.index.create(name, DIMS)
      await assert.rejects(index.rebuild(), isSetupError('rebuild-running'))
      await rebuild.discard()
      await rebuild.discard()
      await assert.rejects(rebuild.index.upsert(name, [row('late', turned(0))]), isSetupError('generation-ended'))
      await assert.rejects(rebuild.index.indexes(), isSetupError('generation-ended'))
      await assert.rejects(rebuild.promote(), isSetupError('generation-ended'))
      assert.deepEqual(await ids(name, turned(0), 5), ['kept'])
      const second = await index.rebuild()
      await second.discard()
    })

    test('searches that run during the switch are answered by the old generation or the new one, and none fails', async () => {
      const name = await freshIndex([row('old-1', turned(0)), row('old-2', turned(0))])
      const rebuild = await index.rebuild()
      await rebuild.index.create(name, DIMS)
      await rebuild.index.upsert(name, [row('new-1', turned(0)), row('new-2', turned(0))])
      const answers: Promise<string[]>[] = []
      let switched = false
      const switching = rebuild.promote().finally(() => {
        switched = true
      })
      while (!switched) {
        answers.push(ids(name, turned(0), 5))
        await new Promise(setImmediate)
      }
      await switching
      for (const answer of await Promise.all(answers)) {
        assert.ok(['old-1,old-2', 'new-1,new-2'].includes(answer.join()), `an answer was ${answer.join()}`)
      }
      assert.deepEqual(await ids(name, turned(0), 5), ['new-1', 'new-2'])
      await index.generation()
    })

    test('after thousands of random upserts, removals and attribute changes it answers as a plain list does', async () => {
      const random = seededRandom(7)
      const name = await freshIndex()
      const model = new Map<string, IndexRow>()
      const randomId = () => `row-${Math.floor(random() * 1500)}`
      for (let round = 0; round < 100; round++) {
        const rows = clusteredVectors({ count: 40, dims: DIMS, clusters: 20, random }).map((vector, i) =>
          row(randomId(), vector, { genre: [`genre-${i % 5}`], bpm: (i + round) % 100 }),
        )
        for (const changed of rows) model.set(changed.id, changed)
        await index.upsert(name, rows)
        const removed = Array.from({ length: 12 }, randomId)
        for (const id of removed) model.delete(id)
        await index.remove(name, removed)
        const retagged = randomId()
        const attributes = { genre: ['genre-6'], bpm: round }
        if (model.has(retagged)) model.set(retagged, { ...model.get(retagged)!, attributes })
        await index.setAttributes(name, retagged, attributes)
      }
      await subject.settled?.()
      assert.equal(await index.count(name), model.size)
      const filters: Filter[] = [
        [],
        [{ field: 'genre', anyOf: ['genre-1', 'genre-6'] }],
        [{ field: 'bpm', min: 10, max: 12 }],
        [
          { field: 'genre', noneOf: ['genre-0'] },
          { field: 'bpm', max: 80 },
        ],
      ]
      const queries = clusteredVectors({ count: 20, dims: DIMS, clusters: 20, random })
      let found = 0
      let wanted = 0
      for (const filter of filters) {
        const rows = [...model.values()].filter(({ attributes }) => passes(attributes, filter))
        assert.equal(await index.count(name, filter), rows.length)
        for (const query of queries) {
          const hits = await index.search(name, query, 10, filter)
          assert.equal(hits.length, Math.min(10, rows.length))
          assert.equal(new Set(hits.map(({ id }) => id)).size, hits.length)
          for (const { id, score } of hits) {
            assert.ok(passes(model.get(id)!.attributes, filter), `${id} does not pass the filter`)
            near(score, dot(query, model.get(id)!.vector), tolerance)
          }
          const best = rows.map(({ vector }) => dot(query, vector)).sort((a, b) => b - a)[hits.length - 1]!
          found += hits.filter(({ score }) => score >= best - tolerance).length
          wanted += hits.length
        }
      }
      assert.ok(found / wanted >= 0.95, `recall@10 is ${found / wanted}`)
    })
  })
}

function row(id: string, vector: Float32Array, attributes: Attributes = {}): IndexRow {
  return { id, vector, attributes }
}

/** A unit vector at this angle from turned(0). */
function turned(radians: number): Float32Array {
  const vector = new Float32Array(DIMS)
  vector[0] = Math.cos(radians)
  vector[1] = Math.sin(radians)
  return vector
}

function dot(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, x, i) => sum + x * b[i]!, 0)
}

function near(actual: number, expected: number, tolerance: number): void {
  assert.ok(Math.abs(actual - expected) <= tolerance, `${actual} is not ${expected} ± ${tolerance}`)
}

function passes(attributes: Attributes, filter: Filter): boolean {
  return filter.every((condition) => {
    const value = attributes[condition.field]
    if ('anyOf' in condition) return Array.isArray(value) && value.some((tag) => condition.anyOf.includes(tag))
    if ('noneOf' in condition) return !(Array.isArray(value) && value.some((tag) => condition.noneOf.includes(tag)))
    return typeof value === 'number' && value >= (condition.min ?? -Infinity) && value <= (condition.max ?? Infinity)
  })
}

function isSetupError(code: string, message = /./) {
  return (error: unknown) => error instanceof SetupError && error.code === code && message.test(error.message)
}
