/** What every adapter of the Catalogue port must do. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Catalogue, Page } from '../../ports/catalogue.ts'
import { InvalidRecordError, InvalidRequestError, ShapeError } from '../../ports/errors.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'
import type { MusicDescribed, MusicTagged, UploadReceived } from '../../schemas/types.ts'

export interface CatalogueSubject {
  open(): Promise<Catalogue>
  /** Closes and opens it again on the same data. */
  reopen(): Promise<Catalogue>
  close(): Promise<void>
}

export function catalogueConformance(adapter: string, subject: CatalogueSubject): void {
  describe(`Catalogue of ${adapter}`, () => {
    let catalogue: Catalogue
    before(async () => {
      catalogue = await subject.open()
    })
    after(() => subject.close())

    test('an empty catalogue has no release plan, no items and counts of 0', async () => {
      assert.equal(await catalogue.releasePlan(), undefined)
      assert.deepEqual(await catalogue.listTracks({ limit: 5 }), { items: [] })
      assert.deepEqual(await catalogue.counts(), { tracks: 0, videos: 0, uploads: 0, failed: 0 })
    })

    test('sections of a track come together in any order and as they were put [sections]', async () => {
      const sections = [{ upload: upload('t1', 'track') }, { tagged: tagged('t1') }, { described: described('t1') }]
      for (const [n, order] of permutations([0, 1, 2]).entries()) {
        const id = `order-${n}`
        for (const i of order) await catalogue.putTrack(id, sections[i]!)
        assert.deepEqual(await catalogue.track(id), { id, ...sections[0], ...sections[1], ...sections[2] })
      }
    })

    test('a takedown is remembered when the upload is gone, and of several the latest counts', async () => {
      assert.equal(await catalogue.takenDownAt('down'), undefined)
      await catalogue.recordTakedown('down', 5)
      await catalogue.recordTakedown('down', 3)
      await catalogue.removeUpload('down')
      catalogue = await subject.reopen()
      assert.equal(await catalogue.takenDownAt('down'), 5)
      await assert.rejects(catalogue.recordTakedown('', 1), InvalidRecordError)
    })

    test('of sections written at the same time none is lost [sections]', async () => {
      const names = Array.from({ length: 30 }, (_, i) => `busy-${i}`)
      await Promise.all(
        names.flatMap((id) => [
          catalogue.putTrack(id, { described: described(id) }),
          catalogue.putTrack(id, { upload: upload(id, 'track') }),
          catalogue.putTrack(id, { tagged: tagged(id) }),
          catalogue.putVideo(id, { upload: upload(id, 'video') }),
          catalogue.putVideo(id, { features: features(2) }),
          catalogue.recordStage({ id, kind: 'track' }, 'analysed', 2),
          catalogue.recordStage({ id, kind: 'track', title: id }, 'received', 1),
          catalogue.recordFailure({ id, kind: 'track' }, failure('described', 3)),
        ]),
      )
      const tracks = await catalogue.tracks([...names, 'nobody'])
      assert.equal(tracks.size, names.length)
      for (const id of names) {
        assert.deepEqual(Object.keys(tracks.get(id)!).sort(), ['described', 'id', 'tagged', 'upload'])
        assert.deepEqual(Object.keys((await catalogue.video(id))!).sort(), ['features', 'id', 'upload'])
        const status = (await catalogue.upload(id))!
        assert.deepEqual({ ...status.stages }, { received: 1, analysed: 2 })
        assert.equal(status.title, id)
        assert.equal(status.failure?.stage, 'described')
      }
    })

    test('a section that comes again replaces itself and no other', async () => {
      await catalogue.putTrack('again', { upload: upload('again', 'track'), tagged: tagged('again') })
      const changed = { ...tagged('again'), loudnessLufs: -3 }
      await catalogue.putTrack('again', { tagged: changed })
      assert.deepEqual(await catalogue.track('again'), {
        id: 'again',
        upload: upload('again', 'track'),
        tagged: changed,
      })
    })

    test('feature values come back exactly, and not in lists', async () => {
      const odd = Float32Array.of(0.1, -0, 1e-40, 3.4e38, Number.NaN, Number.NEGATIVE_INFINITY)
      const values = Float32Array.of(9, ...odd).subarray(1)
      await catalogue.putVideo('exact', { features: { ...features(2), values } })
      const found = (await catalogue.video('exact'))!.features!
      assert.deepEqual(found, { ...features(2), values: odd })
      const listed = await all((options) => catalogue.listVideos(options))
      assert.deepEqual(
        listed.find(({ id }) => id === 'exact'),
        { id: 'exact' },
      )
    })

    test('features that are not (segments, dims) are refused and the video stays as it was', async () => {
      await catalogue.putVideo('shape', { upload: upload('shape', 'video') })
      const bad = { ...features(2), segments: 3 }
      const call = catalogue.putVideo('shape', { upload: upload('other', 'video'), features: bad })
      await assert.rejects(call, ShapeError)
      assert.deepEqual(await catalogue.video('shape'), { id: 'shape', upload: upload('shape', 'video') })
    })

    test('what is not there is undefined, and ids that cannot be are refused', async () => {
      assert.equal(await catalogue.track('nobody'), undefined)
      assert.equal(await catalogue.video('nobody'), undefined)
      assert.equal(await catalogue.upload('nobody'), undefined)
      assert.equal(await catalogue.track(''), undefined)
      for (const id of ['', 'x'.repeat(513)]) {
        await assert.rejects(catalogue.putTrack(id, {}), InvalidRecordError)
        await assert.rejects(catalogue.putVideo(id, {}), InvalidRecordError)
        await assert.rejects(catalogue.recordStage({ id, kind: 'track' }, 'received', 1), InvalidRecordError)
      }
    })

    test('pages give every id once in a fixed order, and what is added behind the page is still met', async () => {
      const names = ['p', 'p-1', 'p-10', 'p-2', 'P', 'pé', 'p曲', 'p a', 'p:b', 'p/c']
      for (const id of names) await catalogue.putTrack(`page ${id}`, { upload: upload(id, 'track') })
      const mine = ({ id }: { id: string }) => id.startsWith('page ')
      const once = (await all((options) => catalogue.listTracks(options), 100)).filter(mine)
      assert.deepEqual(new Set(once.map(({ id }) => id)), new Set(names.map((id) => `page ${id}`)))
      for (const limit of [1, 2, 3]) {
        const again = (await all((options) => catalogue.listTracks(options), limit)).filter(mine)
        assert.deepEqual(again, once)
      }
      const first = await catalogue.listTracks({ limit: 1 })
      await catalogue.putTrack('zz last', {})
      const rest = await all((options) => catalogue.listTracks({ after: first.next!, ...options }))
      assert.equal(rest.filter(({ id }) => id === 'zz last').length, 1)
      assert.ok(!rest.some(({ id }) => id === first.items[0]!.id))
      const beyond = await catalogue.listTracks({ after: 'zz zz', limit: 5 })
      assert.deepEqual(beyond, { items: [] })
      for (const limit of [0, -1, 1.5]) {
        await assert.rejects(catalogue.listTracks({ limit }), InvalidRequestError)
      }
    })

    test('of a stage the first time is kept, and the title once it is known', async () => {
      await catalogue.recordStage({ id: 'staged', kind: 'video' }, 'received', 10)
      await catalogue.recordStage({ id: 'staged', kind: 'video', title: 'Walk' }, 'analysed', 20)
      await catalogue.recordStage({ id: 'staged', kind: 'video' }, 'received', 30)
      assert.deepEqual(await catalogue.upload('staged'), {
        id: 'staged',
        kind: 'video',
        title: 'Walk',
        stages: { received: 10, analysed: 20 },
        failures: [],
      })
    })

    test('a later success of the same stage clears a failure; another stage or an earlier success does not', async () => {
      const id = 'failing'
      const track = { id, kind: 'track' } as const
      const failed = async () => (await catalogue.upload(id))?.failure?.stage
      await catalogue.recordStage(track, 'analysed', 10)
      await catalogue.recordFailure(track, failure('analysed', 20))
      assert.deepEqual((await catalogue.upload(id))!.failure, failure('analysed', 20))
      await catalogue.recordStage(track, 'embedded', 30)
      assert.equal(await failed(), 'analysed')
      await catalogue.recordStage(track, 'analysed', 15)
      assert.equal(await failed(), 'analysed')
      await catalogue.recordStage(track, 'analysed', 25)
      assert.equal(await failed(), undefined)
      assert.equal((await catalogue.upload(id))!.stages.analysed, 10)
      await catalogue.recordFailure(track, failure('analysed', 40))
      await catalogue.recordStage(track, 'analysed', 40)
      assert.equal(await failed(), undefined, 'a success at the time of the failure clears it')
    })

    test('a failure that is delivered again after the success that cleared it stays cleared', async () => {
      const track = { id: 'redelivered', kind: 'track' } as const
      await catalogue.recordStage(track, 'analysed', 5)
      await catalogue.recordFailure(track, failure('analysed', 20))
      await catalogue.recordStage(track, 'analysed', 30)
      await catalogue.recordFailure(track, failure('analysed', 20))
      assert.equal((await catalogue.upload('redelivered'))!.failure, undefined)
      await catalogue.recordFailure(track, failure('analysed', 40))
      assert.equal((await catalogue.upload('redelivered'))!.failure!.at, 40)
    })

    test('of several failures the latest shows, and the other one again when that is cleared', async () => {
      const video = { id: 'twice', kind: 'video' } as const
      await catalogue.recordFailure(video, failure('analysed', 20))
      await catalogue.recordFailure(video, failure('described', 30))
      await catalogue.recordFailure(video, failure('analysed', 10))
      assert.equal((await catalogue.upload('twice'))!.failure!.stage, 'described')
      assert.deepEqual((await catalogue.upload('twice'))!.failures.map(({ at }) => at).sort(), [20, 30])
      await catalogue.recordStage(video, 'described', 40)
      assert.deepEqual((await catalogue.upload('twice'))!.failure, failure('analysed', 20))
    })

    test('a failure that is known before its upload shows once the upload is recorded', async () => {
      await catalogue.recordFailure({ id: 'early' }, failure('analysed', 20))
      await catalogue.recordStage({ id: 'early', kind: 'track' }, 'received', 10)
      assert.deepEqual((await catalogue.upload('early'))!.failure, failure('analysed', 20))
    })

    test('removals take everything of the id, may be repeated, and leave the others', async () => {
      const before = await catalogue.counts()
      for (const id of ['gone', 'gone too']) {
        await catalogue.putTrack(id, { upload: upload(id, 'track') })
        await catalogue.putVideo(id, { upload: upload(id, 'video'), features: features(1) })
        await catalogue.recordFailure({ id, kind: 'track' }, failure('analysed', 1))
      }
      const { tracks, videos, uploads, failed } = before
      const all = { tracks: tracks + 2, videos: videos + 2, uploads: uploads + 2, failed: failed + 2 }
      assert.deepEqual(await catalogue.counts(), all)
      for (let i = 0; i < 2; i++) {
        await catalogue.removeTrack('gone')
        await catalogue.removeVideo('gone')
        await catalogue.removeUpload('gone')
      }
      assert.deepEqual(
        [await catalogue.track('gone'), await catalogue.video('gone'), await catalogue.upload('gone')],
        [undefined, undefined, undefined],
      )
      const one = { tracks: tracks + 1, videos: videos + 1, uploads: uploads + 1, failed: failed + 1 }
      assert.deepEqual(await catalogue.counts(), one)
      await catalogue.putVideo('gone', { upload: upload('gone', 'video') })
      assert.equal((await catalogue.video('gone'))!.features, undefined)
      await catalogue.recordStage({ id: 'gone', kind: 'video' }, 'received', 1)
      assert.equal((await catalogue.upload('gone'))!.failure, undefined)
    })

    test('the generation stays the same, also after opening again, and who names it writes as before [generation]', async () => {
      const generation = await catalogue.generation()
      assert.equal(await catalogue.generation(), generation)
      catalogue = await subject.reopen()
      assert.equal(await catalogue.generation(), generation)
      await catalogue.putTrack('named', { tagged: tagged('named') })
      await catalogue.removeTrack('named')
    })

    test('a release plan replaces the one that its writer knew, and no other', async () => {
      const first = await planned(catalogue, 'first')
      const second = { ...first, revision: first.revision + 1, serving: 'second', previous: 'first' }
      assert.equal(await catalogue.replaceReleasePlan(0, second), false, 'one stands already')
      assert.equal(await catalogue.replaceReleasePlan(first.revision - 1, second), false, 'it is out of date')
      assert.deepEqual(await catalogue.releasePlan(), first)
      assert.equal(await catalogue.replaceReleasePlan(first.revision, second), true)
      assert.deepEqual(await catalogue.releasePlan(), second)
    })

    test('of plans that are written at the same time one stands, whole', async () => {
      const { revision } = await planned(catalogue, 'before')
      const plans = Array.from({ length: 20 }, (_, i) => ({ ...plan(`at-once-${i}`), revision: revision + 1 }))
      const written = await Promise.all(plans.map((next) => catalogue.replaceReleasePlan(revision, next)))
      assert.equal(written.filter(Boolean).length, 1)
      assert.deepEqual(await catalogue.releasePlan(), plans[written.indexOf(true)])
    })

    test('everything is there after opening again', async () => {
      await catalogue.putTrack('kept', { tagged: tagged('kept') })
      await catalogue.putVideo('kept', { features: features(3) })
      await catalogue.recordStage({ id: 'kept', kind: 'track', title: 'Kept' }, 'received', 7)
      await catalogue.recordFailure({ id: 'kept' }, failure('analysed', 8))
      const plan = await planned(catalogue, 'kept')
      const counts = await catalogue.counts()
      catalogue = await subject.reopen()
      assert.deepEqual(await catalogue.track('kept'), { id: 'kept', tagged: tagged('kept') })
      assert.deepEqual(await catalogue.video('kept'), { id: 'kept', features: features(3) })
      assert.deepEqual(await catalogue.upload('kept'), {
        id: 'kept',
        kind: 'track',
        title: 'Kept',
        stages: { received: 7 },
        failure: failure('analysed', 8),
        failures: [failure('analysed', 8)],
      })
      assert.deepEqual(await catalogue.releasePlan(), plan)
      assert.deepEqual(await catalogue.counts(), counts)
    })
  })
}

function plan(serving: string): ReleasePlan {
  const preparing = { release: 'next', trialShare: 0.1, phase: 'embedding', requestedAt: 1.7e12 } as const
  const failure = { code: 'unusable-release', message: 'It gave "vector" of NaN – “quoted”.' }
  const lastRollOut = { release: 'bad', outcome: 'failed', failure, endedAt: 1.7e12 } as const
  const trial = { release: 'tried', share: 0.25 }
  return { revision: 1, serving, previous: null, trial, preparing, lastRollOut, carrier: { id: 'p', until: 1.7e12 } }
}

/** Writes one, whatever stands. */
async function planned(catalogue: Catalogue, serving: string): Promise<ReleasePlan> {
  const expected = (await catalogue.releasePlan())?.revision ?? 0
  const next = { ...plan(serving), revision: expected + 1 }
  assert.ok(await catalogue.replaceReleasePlan(expected, next), 'nobody else writes')
  return next
}

async function all<T>(
  list: (options: { after?: string; limit: number }) => Promise<Page<T>>,
  limit = 2,
): Promise<readonly T[]> {
  const items: T[] = []
  let after: string | undefined
  do {
    const page = await list({ limit, ...(after !== undefined && { after }) })
    assert.ok(page.items.length <= limit)
    items.push(...page.items)
    after = page.next
  } while (after !== undefined)
  return items
}

function permutations<T>(items: readonly T[]): T[][] {
  if (items.length === 0) return [[]]
  return items.flatMap((item, i) => permutations(items.toSpliced(i, 1)).map((rest) => [item, ...rest]))
}

function failure(stage: string, at: number) {
  return { stage, code: 'media-unreadable', message: `${stage} failed; try another file`, at }
}

/** (segments, 3) */
function features(segments: number) {
  const values = Float32Array.from({ length: segments * 3 }, (_, i) => i / 7)
  return { encoderId: 'e', values, segments, dims: 3, segmentSeconds: 10, durationSeconds: 9.5 }
}

function upload(uploadId: string, kind: 'track' | 'video'): UploadReceived {
  const media = { uri: `media:${'0'.repeat(64)}`, sha256: '0'.repeat(64), bytes: 5_000_000_000 }
  const rights = { licence: 'CC-BY-4.0', territories: ['DE', 'JP'], explicit: false }
  return { uploadId, kind, media, title: 'Träumerei "1"', artist: null, owner: null, rights, receivedAt: 1.7e12 }
}

function tagged(trackId: string): MusicTagged {
  const tags = [{ category: 'genre', tag: 'rock', confidence: 0.9 }]
  return {
    trackId,
    source: 'track',
    tags,
    segments: [{ startSeconds: 0, seconds: 10, tags }],
    tempo: { bpm: 120.5, confidence: 0.7 },
    key: { tonic: 'C#', mode: 'minor', confidence: 0.4 },
    loudnessLufs: -14.25,
    durationSeconds: 200,
    tagger: { id: 'tagger', sha256: '1'.repeat(64) },
    taggedAt: 1.7e12,
    thresholds: null,
  }
}

function described(trackId: string): MusicDescribed {
  return {
    trackId,
    source: 'track',
    text: 'A driving rock song.',
    method: 'data2text',
    generator: 'data2text-1',
    promptVersion: null,
    prompt: null,
    fallback: null,
    tagsKept: ['rock'],
    tagsOmitted: [],
    tagsInvented: [],
    describedAt: 1.7e12,
  }
}
