/**
 * Whether a release that is being prepared has an embedding, and a row in its index, for all that the serving one has.
 *
 *     features ──▶ embed-*@release ──▶ embeddings ──▶ index-embeddings ──▶ index of the release
 *
 *   [read]      its stages have read the features to where they ended at a look, and the projection their output
 *   [rows]      each of its embeddings that stands on the topic has its row
 *   [same ids]  each id with an embedding of the serving release has one of its own, unless it went to the dead letters
 *   [excused]   at most one in a hundred went there: a release that takes less is not one to serve
 *   [in flight] what is lacking at one look and there at the next came while it was looked at
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Broker } from '../../ports/broker.ts'
import type { Catalogue } from '../../ports/catalogue.ts'
import { SetupError } from '../../ports/errors.ts'
import type { VectorIndex } from '../../ports/vector-index.ts'
import { embedMusic } from '../../processors/embed-music/embed-music.ts'
import { embedVideo } from '../../processors/embed-video/embed-video.ts'
import { indexEmbeddings, isVoid } from '../../processors/index-embeddings/index-embeddings.ts'
import { deadLetterCause, deadLetterName } from '../../runtime/dead-letter.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import { groupOf } from '../../runtime/run-processor.ts'
import { musicEmbedded, musicFeatures, videoEmbedded, videoFeatures } from '../../topics/topics.ts'
import { projectionGeneration } from '../projection.ts'
import { type LiveKey, livePartitions } from '../rebuild/live-rows.ts'

export interface WholeDeps {
  readonly broker: Broker
  readonly catalogue: Catalogue
  readonly index: VectorIndex
}

const LOOK_EVERY_MS = 250
const LOOKED_UP_AT_ONCE = 1_000
/** How often what is lacking is looked at again before the release is refused for it. */
const LOOKS = 5
const BETWEEN_LOOKS_MS = 1_000
const NAMED_AT_MOST = 5
/** [excused] */
const EXCUSED_SHARE = 0.01

const sides = [
  { kind: 'music', stage: embedMusic.name, features: musicFeatures.name, embedded: musicEmbedded.name },
  { kind: 'video', stage: embedVideo.name, features: videoFeatures.name, embedded: videoEmbedded.name },
] as const

export interface EmbeddingProgress {
  readonly doneRecords: number
  /** Grows with what is produced meanwhile. */
  readonly totalRecords: number
}

/** How far the stages of the release have read the features there are. */
export async function embeddingProgress(broker: Broker, release: string): Promise<EmbeddingProgress> {
  const lags = await featureLags(broker, release)
  return {
    doneRecords: lags.reduce((sum, { committedOffset }) => sum + committedOffset, 0),
    totalRecords: lags.reduce((sum, { endOffset }) => sum + endOffset, 0),
  }
}

/**
 * @param goesOn resolves with false once nobody wants it any more.
 * @returns false then; true when it is whole. @throws SetupError 'roll-out-incomplete' that says what is lacking
 */
export async function untilWhole(
  deps: WholeDeps,
  { release, serving, since }: { release: string; serving: string; since: number },
  goesOn: () => Promise<boolean>,
): Promise<boolean> {
  let lacking: ReadonlySet<string> | undefined
  for (let look = 1; ; look++) {
    if (!(await untilRead(deps, release, goesOn))) return false
    const found = await lackingKeys(deps, { release, serving, since })
    lacking = lacking === undefined ? found : new Set([...found].filter((key) => lacking?.has(key))) // [in flight]
    if (lacking.size === 0) return true
    if (look === LOOKS) throw incomplete(release, lacking)
    await sleep(BETWEEN_LOOKS_MS)
  }
}

/** [read] Where it ended is fixed at the look: a steady stream puts nothing off. */
async function untilRead({ broker, index, catalogue }: WholeDeps, release: string, goesOn: () => Promise<boolean>) {
  const stores = { index, catalogue: catalogue.handle() }
  const topics = sides.map(({ embedded }) => embedded)
  const projected = async () => broker.lag(groupOf(indexEmbeddings.name, await projectionGeneration(stores)), topics)
  for (const lags of [() => featureLags(broker, release), projected]) {
    const ends = await lags()
    while (!(await lags()).every(({ committedOffset }, i) => committedOffset >= ends[i]!.endOffset)) {
      if (!(await goesOn())) return false
      await sleep(LOOK_EVERY_MS)
    }
  }
  return true
}

async function featureLags(broker: Broker, release: string) {
  const lags = await Promise.all(sides.map(({ stage, features }) => broker.lag(groupOf(stage, release), [features])))
  return lags.flat()
}

/** @returns `<kind>/<id>` of what has no embedding by the release, or no row. @throws SetupError when too much is excused */
async function lackingKeys(
  deps: WholeDeps,
  { release, serving, since }: { release: string; serving: string; since: number },
): Promise<Set<string>> {
  const { broker, catalogue, index } = deps
  const refused = await refusedKeys(broker, since)
  const lacking = new Set<string>()
  let compared = 0
  const excused: string[] = []
  const group = groupOf(indexEmbeddings.name, await projectionGeneration({ index, catalogue: catalogue.handle() }))
  const read = await broker.lag(
    group,
    sides.map(({ embedded }) => embedded),
  )
  for await (const { kind, keys } of livePartitions(broker, read)) {
    const own = keys.filter((key) => key.release === release)
    const ids = new Set(own.map(({ id }) => id))
    for (const key of keys) {
      if (key.release !== serving) continue
      compared++
      if (ids.has(key.id) || (await isGone(catalogue, key))) continue
      if (refused.has(`${kind}/${key.id}`)) excused.push(`${kind}/${key.id}`)
      else lacking.add(`${kind}/${key.id}`) // [same ids]
    }
    for (let i = 0; i < own.length; i += LOOKED_UP_AT_ONCE) {
      const page = own.slice(i, i + LOOKED_UP_AT_ONCE)
      const rows = await index.vectors(
        { release, kind },
        page.map(({ id }) => id),
      )
      for (const key of page) {
        if (!rows.has(key.id) && !(await isGone(catalogue, key))) lacking.add(`${kind}/${key.id}`) // [rows]
      }
    }
  }
  if (excused.length > Math.ceil(compared * EXCUSED_SHARE)) throw incomplete(release, new Set(excused)) // [excused]
  return lacking
}

async function isGone(catalogue: Catalogue, { id, receivedAt }: LiveKey): Promise<boolean> {
  return isVoid(id, receivedAt, await catalogue.takenDownAt(id), catalogue)
}

/** `<kind>/<id>` of features that an embedding stage put to the dead letters since then. */
async function refusedKeys(broker: Broker, since: number): Promise<Set<string>> {
  const refused = new Set<string>()
  const topics = await broker.topics()
  for (const { kind, stage, features } of sides) {
    const letters = topics.find(({ name }) => name === deadLetterName(features))
    for (let partition = 0; partition < (letters?.partitions ?? 0); partition++) {
      for await (const { key, headers } of readPartition(broker, letters!.name, partition, LOOKED_UP_AT_ONCE)) {
        const cause = deadLetterCause(headers)
        if (cause?.stage === stage && cause.at >= since && key !== null) refused.add(`${kind}/${key}`)
      }
    }
  }
  return refused
}

function incomplete(release: string, lacking: ReadonlySet<string>): SetupError {
  const some = [...lacking].slice(0, NAMED_AT_MOST).join(', ')
  return new SetupError(
    'roll-out-incomplete',
    `Release ${release} lacks ${lacking.size} of what the serving release holds, such as ${some}. ` +
      'What served goes on serving; look into the dead letters and the log, then roll it out again.',
  )
}
