import assert from 'node:assert/strict'
import { readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, test } from 'node:test'
import { type EmbeddedVectorIndex, openVectorIndex } from '../../adapters/embedded/vector-index.ts'
import { seededRandom } from '../../model/random.ts'
import { SetupError } from '../../ports/errors.ts'
import type { Filter, VectorIndex } from '../../ports/vector-index.ts'
import { killedWriter } from '../support/killed-writer.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { clusterCentres, clusteredVectors } from '../support/vectors.ts'
import { vectorIndexConformance } from './vector-index.ts'

const music = { release: 'r1', kind: 'music' } as const

for (const [what, exactBelow] of [
  ['by exact scan', 20_000],
  ['by graph', 100],
] as const) {
  describe(what, () => {
    const folder = temporaryFolder()
    let index: EmbeddedVectorIndex
    const open = async () => {
      index = await openVectorIndex({ folder, exactBelow })
      return index
    }
    const close = async () => index.close()
    vectorIndexConformance(`the embedded store, ${what}`, {
      open,
      close,
      reopen: () => close().then(open),
      settled: () => index.settled(),
    })
  })
}

describe('the HNSW graph of the embedded vector index', () => {
  const dims = 64
  const count = 6000
  const random = seededRandom(3)
  const centres = clusterCentres({ dims, clusters: 60, random })
  const draw = (n: number) => clusteredVectors({ count: n, dims, clusters: 60, centres, random })
  const rows = draw(count).map((vector, i) => ({
    id: `row-${i}`,
    vector,
    attributes: { half: [i % 2 ? 'odd' : 'even'], cluster: [`part-${i % 50}`] },
  }))

  async function opened(folder: string, exactBelow: number) {
    const index = await openVectorIndex({ folder, exactBelow })
    await index.create(music, dims)
    return index
  }

  async function filled(folder: string) {
    const index = await opened(folder, 500)
    for (let i = 0; i < count; i += 500) await index.upsert(music, rows.slice(i, i + 500))
    return index
  }

  async function recall(index: EmbeddedVectorIndex, exact: EmbeddedVectorIndex, filter: Filter = []): Promise<number> {
    let found = 0
    const queries = draw(50)
    for (const query of queries) {
      const expected = new Set((await exact.search(music, query, 10, filter)).map(({ id }) => id))
      assert.equal(expected.size, 10)
      for (const { id } of await index.search(music, query, 10, filter)) if (expected.has(id)) found++
    }
    return found / (10 * queries.length)
  }

  test('recall@10 stays at 0.95 or more with filters, after churn, and from its cache after a restart', async () => {
    const exact = await opened(temporaryFolder(), 1_000_000)
    await exact.upsert(music, rows)
    const folder = temporaryFolder()
    let index = await filled(folder)
    assert.equal(await recall(index, exact), 1, 'while the graph is not ready, the exact scan answers')
    await index.settled()
    for (const filter of [[], [{ field: 'half', anyOf: ['odd'] }], [{ field: 'cluster', anyOf: ['part-3'] }]]) {
      assert.ok((await recall(index, exact, filter)) >= 0.95)
    }
    const changed = draw(2000).map((vector, i) => ({ ...rows[i]!, vector }))
    for (const both of [index, exact]) {
      await both.remove(
        music,
        rows.slice(1000, 3000).map(({ id }) => id),
      )
      await both.upsert(music, changed)
    }
    await index.settled()
    assert.ok((await recall(index, exact)) >= 0.95)
    await index.close()
    index = await opened(folder, 500)
    assert.ok((await recall(index, exact)) >= 0.95)
    await index.close()
    await exact.close()
  })

  test('a cached graph is used again, and what changed without it is caught up with', async () => {
    const folder = temporaryFolder()
    let index = await filled(folder)
    await index.settled()
    await index.close()
    const before = cacheFiles(folder)
    assert.equal(before.length, 1)

    // The rows change, then the older cache comes back and the newer one is torn.
    const cache = readFileSync(before[0]!)
    index = await opened(folder, 500)
    await index.remove(music, ['row-0', 'row-1'])
    await index.upsert(music, [{ ...rows[2]!, vector: rows[3]!.vector }])
    await index.settled()
    await index.close()
    for (const file of cacheFiles(folder)) assert.notEqual(file, before[0])
    writeFileSync(before[0]!, cache)
    for (const file of cacheFiles(folder)) if (file !== before[0]) writeFileSync(file, 'torn')

    index = await opened(folder, 500)
    assert.deepEqual(cacheFiles(folder), before, 'the torn cache is gone, the older one is in use')
    await index.settled()
    const hits = await index.search(music, rows[3]!.vector, 2)
    assert.deepEqual(
      hits.map(({ id }) => id),
      ['row-2', 'row-3'],
    )
    assert.ok(!(await index.search(music, rows[0]!.vector, 20)).some(({ id }) => id === 'row-0' || id === 'row-1'))
    await index.close()
  })

  test('a row that comes after a restart does not take the place of a removed one in the cached graph', async () => {
    const folder = temporaryFolder()
    let index = await filled(folder)
    await index.settled()
    await index.remove(
      music,
      rows.slice(-10).map(({ id }) => id),
    )
    await index.close()
    index = await opened(folder, 500)
    const added = draw(10).map((vector, i) => ({ id: `added-${i}`, vector, attributes: {} }))
    await index.upsert(music, added)
    await index.settled()
    for (const { id, vector } of added) assert.equal((await index.search(music, vector, 1))[0]!.id, id)
    await index.close()
  })

  test('a search whose filter fits none of the nearest rows still gives k', async () => {
    const index = await opened(temporaryFolder(), 500)
    const [far, near] = [draw(1)[0]!, draw(1)[0]!]
    const around = (vector: Float32Array, n: number, tag: string) =>
      clusteredVectors({ count: n, dims, clusters: 1, centres: [vector.map((x) => x * 40)], random }).map((v, i) => ({
        id: `${tag}-${i}`,
        vector: v,
        attributes: { side: [tag] },
      }))
    await index.upsert(music, around(near, 3000, 'near'))
    await index.upsert(music, around(far, 3000, 'far'))
    await index.settled()
    const hits = await index.search(music, near, 10, [{ field: 'side', anyOf: ['far'] }])
    assert.equal(hits.length, 10)
    await index.close()
  })

  test('dropping an index frees its folder', async () => {
    const folder = temporaryFolder()
    const index = await filled(folder)
    await index.settled()
    assert.ok(bytesUnder(folder) > count * dims * 4)
    await index.drop(music)
    assert.equal(bytesUnder(folder), 0)
    await index.close()
  })

  test('every row that was acknowledged before a kill -9 is there, whole', async () => {
    const folder = temporaryFolder()
    const acknowledged = await killedWriter('vector-index', folder, 300)
    const index = await openVectorIndex({ folder })
    const name = { release: 'killed', kind: 'music' } as const
    for (let i = 0; i < acknowledged; i++) {
      assert.equal(await index.count(name, [{ field: 'n', min: i, max: i }]), 1, `row ${i} of ${acknowledged}`)
    }
    await index.close()
  })
})

describe('the generations of the embedded vector index', () => {
  const at = (angle: number) => Float32Array.of(Math.cos(angle), Math.sin(angle))
  const row = (id: string, angle: number) => ({ id, vector: at(angle), attributes: {} })

  async function withRow(folder: string, id: string) {
    const index = await openVectorIndex({ folder })
    await index.create(music, 2)
    await index.upsert(music, [row(id, 0)])
    return index
  }
  const idsIn = async (index: VectorIndex) => (await index.search(music, at(0), 10)).map(({ id }) => id)

  test('a folder from before there were generations is the first one, and is rebuilt in place of itself', async () => {
    const folder = temporaryFolder()
    let index = await withRow(folder, 'old')
    assert.equal(await index.generation(), '')
    assert.deepEqual(readdirSync(folder).sort(), ['generations', 'music-1'])
    const rebuild = await index.rebuild()
    await rebuild.index.create(music, 2)
    await rebuild.index.upsert(music, [row('new', 0)])
    await rebuild.promote()
    assert.ok(!readdirSync(folder).includes('music-1'), 'the disk of the old generation is free')
    const id = await rebuild.index.generation()
    await index.close()
    index = await openVectorIndex({ folder })
    assert.equal(await index.generation(), id)
    assert.deepEqual(await idsIn(index), ['new'])
    await index.close()
  })

  test('a rebuild that a crash cut short is gone at the next start, and another may begin', async () => {
    const folder = temporaryFolder()
    let index = await withRow(folder, 'serving')
    const rebuild = await index.rebuild()
    await rebuild.index.create(music, 2)
    await rebuild.index.upsert(music, [row('half', 0)])
    await index.close() // neither promoted nor discarded
    index = await openVectorIndex({ folder })
    assert.deepEqual(readdirSync(join(folder, 'generations')), [])
    assert.equal(await index.generation(), '')
    assert.deepEqual(await idsIn(index), ['serving'])
    await (await index.rebuild()).discard()
    await index.close()
  })

  test('a crash after the switch and before the old rows were removed leaves the new generation alone', async () => {
    const folder = temporaryFolder()
    let index = await withRow(folder, 'old')
    const rebuild = await index.rebuild()
    await rebuild.index.create(music, 2)
    await rebuild.index.upsert(music, [row('new', 0)])
    await rebuild.promote(3_600_000)
    assert.ok(readdirSync(folder).includes('music-1'), 'the old one is kept for as long as was asked')
    await index.close()
    index = await openVectorIndex({ folder })
    assert.ok(!readdirSync(folder).includes('music-1'))
    assert.deepEqual(await idsIn(index), ['new'])
    await index.close()
  })

  test('a writer that has not asked again since the switch cannot write to the new generation', async () => {
    const index = await withRow(temporaryFolder(), 'old')
    await index.generation()
    const rebuild = await index.rebuild()
    await rebuild.index.create(music, 2)
    await rebuild.promote()
    const ended = (error: unknown) => error instanceof SetupError && error.code === 'generation-ended'
    await assert.rejects(index.upsert(music, [row('stale', 0)]), ended)
    await assert.rejects(index.remove(music, ['stale']), ended)
    assert.deepEqual(await idsIn(index), [])
    assert.equal(await index.generation(), await rebuild.index.generation())
    await index.upsert(music, [row('fresh', 0)])
    assert.deepEqual(await idsIn(index), ['fresh'])
    await index.close()
  })

  test('searches that run during the switch are answered by the old generation or the new one, and none fails', async () => {
    const index = await withRow(temporaryFolder(), 'old')
    const rebuild = await index.rebuild()
    await rebuild.index.create(music, 2)
    await rebuild.index.upsert(music, [row('new', 0)])
    const searches: Promise<string[]>[] = []
    let switched = false
    const switching = rebuild.promote().then(() => {
      switched = true
    })
    while (!switched) {
      searches.push(idsIn(index))
      await new Promise(setImmediate)
    }
    await switching
    for (const found of await Promise.all(searches)) assert.ok(found.length === 1 && ['old', 'new'].includes(found[0]!))
    assert.deepEqual(await idsIn(index), ['new'])
    await index.close()
  })
})

function cacheFiles(folder: string): string[] {
  const index = join(folder, 'music-1')
  return readdirSync(index)
    .filter((name) => name.startsWith('graph'))
    .map((name) => join(index, name))
}

function bytesUnder(folder: string): number {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}
