/**
 * Feedback from its topic, and the weights that came of it on disk: <folder>/feedback.json. Both are small: the topic is
 * read anew by each sync, so feedback counts for as long as the topic keeps it.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import type { Broker } from '../../ports/broker.ts'
import { InvalidRecordError } from '../../ports/errors.ts'
import type { Codec } from '../../runtime/codec.ts'
import { readPartition } from '../../runtime/read-partition.ts'
import { onlyFields } from '../../topics/topic.ts'
import { feedbackRecorded } from '../../topics/topics.ts'
import { writeAtomically } from './atomic-file.ts'
import { type ChosenPair, FeedbackLedger, type WeightedPair } from './feedback-weights.ts'
import { damaged } from './shard-manifest.ts'
import { TRAINING_GROUP } from './shard-topic.ts'

const FILE = 'feedback.json'
const READ_AT_ONCE = 500

const events = onlyFields(feedbackRecorded, ['requestId', 'videoId', 'trackId', 'action', 'recordedAt'])

const weightedPairs = z.array(
  z.strictObject({ videoId: z.string(), trackId: z.string(), weight: z.number().positive().max(100) }),
)

export interface FeedbackSource {
  readonly broker: Pick<Broker, 'read' | 'lag'>
  readonly codec: Codec
  readonly signal?: AbortSignal | undefined
}

/** All feedback about a video is in one partition, so what led to no choice is forgotten after each. */
export async function readFeedback({ broker, codec, signal }: FeedbackSource): Promise<ChosenPair[]> {
  const chosen: ChosenPair[] = []
  for (const { topic, partition } of await broker.lag(TRAINING_GROUP, [feedbackRecorded.name])) {
    const ledger = new FeedbackLedger()
    for await (const { value } of readPartition(broker, topic, partition, READ_AT_ONCE)) {
      signal?.throwIfAborted()
      const event = value === null ? undefined : await codec.decode(events, value).catch(ofInvalid)
      // Words alone are told by no event, so feedback about them has nothing to be paired with.
      if (event !== undefined && event.videoId !== null) ledger.add({ ...event, videoId: event.videoId })
    }
    chosen.push(...ledger.chosen())
  }
  return chosen
}

export async function writeFeedback(folder: string, pairs: readonly WeightedPair[]): Promise<void> {
  await writeAtomically(join(folder, FILE), JSON.stringify(pairs))
}

/** @throws InvalidRecordError 'damaged-shard' */
export async function readWeightedPairs(folder: string): Promise<readonly WeightedPair[]> {
  const path = join(folder, FILE)
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code !== 'ENOENT') throw damaged(path, cause.message, cause)
    return '[]'
  })
  try {
    return weightedPairs.parse(JSON.parse(text))
  } catch (cause) {
    throw damaged(path, 'it is not what a sync writes', cause)
  }
}

function ofInvalid(error: unknown): undefined {
  if (!(error instanceof InvalidRecordError)) throw error
}
