/** The process that carries a roll-out out is killed in the middle of it: whoever comes next ends it, or leaves it be. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { openCatalogue } from '../../adapters/embedded/catalogue.ts'
import { openProduct } from '../../cli/open-product.ts'
import { dataPaths } from '../../cli/paths.ts'
import { changePlan } from '../../cli/releases/change-plan.ts'
import { cancel, request } from '../../cli/releases/plan.ts'
import { packFloats } from '../../model/features.ts'
import { seededRandom } from '../../model/random.ts'
import type { ReleasePlan } from '../../ports/release-plan.ts'
import { processors } from '../../processors/registry.ts'
import { loadConfig } from '../../runtime/config.ts'
import { musicFeatures } from '../../topics/topics.ts'
import { publishRelease } from '../support/second-release.ts'
import { standInDecoder } from '../support/stand-in-media.ts'
import { standInProfile } from '../support/stand-in-profile.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

const TRACKS = 400
const ids = Array.from({ length: TRACKS }, (_, i) => `track-${i}`)
const stages = fileURLToPath(new URL('../support/stage-process.ts', import.meta.url))
const dataFolder = temporaryFolder()

const open = () =>
  openProduct(loadConfig({ env: {}, flags: { dataFolder } }), {
    logger: pino({ level: process.env.TEST_LOG ?? 'silent' }),
    stages: 'all',
    profile: standInProfile,
    decoder: standInDecoder,
  })

/** The plan, as another process sees and changes it. */
async function onPlan<T>(work: (catalogue: ReturnType<typeof openCatalogue>) => Promise<T>): Promise<T> {
  const catalogue = openCatalogue({ folder: dataPaths(dataFolder).catalogue })
  try {
    return await work(catalogue)
  } finally {
    await catalogue.close()
  }
}

/** A process with all stages, killed as soon as the plan is so. @returns the plan that it leaves */
async function killedOnce(is: (plan: ReleasePlan) => boolean): Promise<ReleasePlan> {
  const names = processors.map(({ name }) => name).join(',')
  const child = spawn(process.execPath, ['--import', 'tsx', stages, names], {
    env: { ...process.env, CUESTREAM_DATA_FOLDER: dataFolder, CUESTREAM_LOG_LEVEL: 'error' },
    stdio: ['pipe', 'ignore', 'inherit'],
  })
  after(() => child.kill('SIGKILL'))
  const gone = new Promise((resolve) => child.once('exit', resolve))
  return onPlan(async (catalogue) => {
    await until('the moment to kill it', async () => is((await catalogue.releasePlan())!))
    child.kill('SIGKILL')
    await gone
    return (await catalogue.releasePlan())!
  })
}

test('a coordinator that is killed while a release is embedded: the next one ends the roll-out, and nothing is lacking', async () => {
  const before = await open()
  const first = before.releases.plan().serving
  const { encoders } = (await before.releases.current()).manifest
  const random = seededRandom('tracks')
  for (const id of ids) {
    const values = Float32Array.from({ length: encoders.music.dims }, () => random())
    const value = await before.codec.encode(musicFeatures, {
      trackId: id,
      source: 'track',
      segments: 1,
      dims: encoders.music.dims,
      values: Buffer.from(packFloats(values)),
      segmentSeconds: 10,
      durationSeconds: 10,
      encoder: { id: encoders.music.id, sha256: '' },
      computedAt: 1,
    })
    await before.broker.produce([{ topic: musicFeatures.name, key: id, value }])
  }
  const rowsOf = async (product: typeof before, release: string) =>
    (await product.index.vectors({ release, kind: 'music' }, ids)).size
  await until('the first index', async () => (await rowsOf(before, first)) === TRACKS)
  await before.close()
  await publishRelease(dataFolder, 'second', 0.3)
  const asked = { release: 'second', trialShare: null, at: Date.now() }
  await onPlan((catalogue) => changePlan(catalogue, (plan) => request(plan, asked)))

  const left = await killedOnce(({ preparing }) => preparing?.phase === 'embedding')
  assert.deepEqual([left.serving, left.preparing?.release, left.preparing?.phase], [first, 'second', 'embedding'])
  assert.notEqual(left.carrier, null, 'nobody carried it out')

  const next = await open()
  try {
    await until('the switch', async () => next.releases.plan().serving === 'second')
    assert.deepEqual([next.releases.plan().previous, next.releases.plan().lastRollOut?.outcome], [first, 'done'])
    assert.deepEqual([await rowsOf(next, 'second'), await rowsOf(next, first)], [TRACKS, TRACKS])
  } finally {
    await next.close()
  }
})

test('a roll-out that is cancelled while no coordinator lives leaves what served, and its index is retired', async () => {
  await publishRelease(dataFolder, 'third', 0.9)
  const asked = { release: 'third', trialShare: null, at: Date.now() }
  await onPlan((catalogue) => changePlan(catalogue, (plan) => request(plan, asked)))
  await killedOnce(({ preparing }) => preparing?.phase === 'embedding')
  const { serving } = await onPlan((catalogue) => changePlan(catalogue, (plan) => cancel(plan, Date.now())))
  assert.equal(serving, 'second')
  const next = await openProduct(loadConfig({ env: {}, flags: { dataFolder } }), {
    logger: pino({ level: 'silent' }),
    stages: 'all',
    profile: standInProfile,
    decoder: standInDecoder,
    unusedReleaseMs: 0,
  })
  try {
    await until('the index to go', async () => (await next.index.indexes()).every(({ release }) => release !== 'third'))
    assert.equal(next.releases.plan().serving, 'second')
    assert.equal((await next.index.vectors({ release: 'second', kind: 'music' }, ids)).size, TRACKS)
  } finally {
    await next.close()
  }
})
