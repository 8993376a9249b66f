/**
 * The projection of the topics into catalogue and index (index-embeddings), seen from outside the stage: which generation
 * it is of, and whether that one has been filled yet.
 */
import type { Broker, PartitionLag } from '../ports/broker.ts'
import type { Catalogue } from '../ports/catalogue.ts'
import { OutageError } from '../ports/errors.ts'
import type { VectorIndex } from '../ports/vector-index.ts'
import { indexEmbeddings } from '../processors/index-embeddings/index-embeddings.ts'
import type { Processor } from '../runtime/define-processor.ts'
import { groupOf, groupTopics } from '../runtime/run-processor.ts'

export interface ProjectionStores {
  readonly index: VectorIndex
  readonly catalogue: Catalogue
}

export const projectedTopics = groupTopics(indexEmbeddings as unknown as Processor)

/** Under a steady stream the lag is never 0 for long: so little, for so long, is caught up as well. */
const STREAM_RECORDS = 500
const STREAM_MS = 5_000
const LOOK_EVERY_MS = 1_000

/** Another one after a store that index-embeddings fills was wiped or rebuilt; '' where stores are never wiped. */
export async function projectionGeneration({ index, catalogue }: ProjectionStores): Promise<string> {
  const ofIndex = await index.generation()
  const ofCatalogue = await catalogue.generation()
  return ofCatalogue === '' ? ofIndex : `${ofIndex}.${ofCatalogue}`
}

/** @returns of each look at the lag, whether the group has caught up. */
export function catchUp(now: () => number): (lags: readonly PartitionLag[]) => boolean {
  let littleSince: number | undefined
  return (lags) => {
    const waiting = lags.reduce((sum, { lagRecords }) => sum + lagRecords, 0)
    littleSince = waiting <= STREAM_RECORDS ? (littleSince ?? now()) : undefined
    return waiting === 0 || (littleSince !== undefined && now() - littleSince >= STREAM_MS)
  }
}

/**
 * Keeps an index that is being filled after a wipe from answering with a part of what it should hold. That a generation
 * was filled once is written down in the catalogue, by whoever sees it first.
 * @returns what throws OutageError 'index-filling' until then; it looks once a second at most.
 */
export function filledGate(
  deps: ProjectionStores & { readonly broker: Pick<Broker, 'lag'>; readonly now: () => number },
): () => Promise<void> {
  const { catalogue, broker, now } = deps
  const stores = { index: deps.index, catalogue: catalogue.handle() }
  let generation: string | undefined
  let isCaughtUp = catchUp(now)
  let isFilled = false
  let lookedAt = Number.NEGATIVE_INFINITY
  let looking: Promise<void> | undefined

  async function look(): Promise<void> {
    const current = await projectionGeneration(stores)
    if (current !== generation) {
      generation = current
      isCaughtUp = catchUp(now)
      isFilled = current === '' || (await catalogue.isFilled(current))
    }
    if (!isFilled && isCaughtUp(await broker.lag(groupOf(indexEmbeddings.name, current), projectedTopics))) {
      await catalogue.markFilled(current)
      isFilled = true
    }
    lookedAt = now()
  }

  return async () => {
    if (now() - lookedAt >= LOOK_EVERY_MS) {
      looking ??= look().finally(() => {
        looking = undefined
      })
      await looking
    }
    if (isFilled) return
    throw new OutageError('index-filling', 'The index is being filled from the topics after a wipe; ask again later')
  }
}
