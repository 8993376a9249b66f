/** What nobody asks for but every data folder needs: media of removed uploads go, joins that rest for a week expire. */
import type { Logger } from 'pino'
import { Gauge, type Registry } from 'prom-client'
import type { Broker } from '../ports/broker.ts'
import type { Catalogue, Page } from '../ports/catalogue.ts'
import { OutageError } from '../ports/errors.ts'
import type { JoinState } from '../ports/join-state.ts'
import type { MediaStore } from '../ports/media.ts'
import { TRIPLET_SIDES } from '../processors/materialize-triplets/materialize-triplets.ts'
import { readPartition } from '../runtime/read-partition.ts'
import { uploadsReceived } from '../topics/topics.ts'

const HOUR_MS = 3_600_000
/** Longer than any upload waits between its arrival and its first stage. */
const MEDIA_UNUSED_MS = HOUR_MS
/** Whole joins go too: a side that changes later than that makes no triplet alone. */
const JOIN_EXPIRES_MS = 7 * 24 * HOUR_MS
const PAGE = 500
const MEDIA_URI = /media:[0-9a-f]{64}/g

interface Deps {
  readonly broker: Broker
  readonly catalogue: Catalogue
  readonly mediaStore: MediaStore
  readonly joins: JoinState
  readonly registry: Registry
  readonly logger: Logger
  readonly now: () => number
}

/** Once at start and every hour. @returns how to stop it. */
export function startHousekeeping(deps: Deps): { stop(): Promise<void> } {
  new Gauge({
    name: 'cuestream_triplets_incomplete',
    help: 'Uploads that still wait for a side of their triplet.',
    registers: [deps.registry],
    async collect() {
      // In an outage the last value stays, and with it all the other metrics.
      const incomplete = await deps.joins.incomplete(TRIPLET_SIDES).catch((error: unknown) => {
        if (!(error instanceof OutageError)) throw error
      })
      if (incomplete !== undefined) this.set(incomplete)
    },
  })
  let running = Promise.resolve()
  const run = () => {
    running = running
      .then(() => keepHouse(deps))
      .catch((error: unknown) => deps.logger.error({ err: error }, 'Housekeeping failed; it is tried again in an hour'))
  }
  run()
  const timer = setInterval(run, HOUR_MS).unref()
  return {
    async stop() {
      clearInterval(timer)
      await running
    },
  }
}

export async function keepHouse({
  broker,
  catalogue,
  mediaStore,
  joins,
  logger,
  now,
}: Omit<Deps, 'registry'>): Promise<void> {
  const expired = await joins.expire(TRIPLET_SIDES, now() - JOIN_EXPIRES_MS)
  const media = await sweepMedia(broker, catalogue, mediaStore)
  if (media + expired > 0) logger.info({ media, joins: expired }, 'Media of removed uploads and expired joins are gone')
}

/**
 * In use is what any upload names that stands on its topic, and what the catalogue knows from before the topic kept them
 * all. So neither a catalogue that lags nor one that was wiped takes media with it.
 */
async function sweepMedia(broker: Broker, catalogue: Catalogue, mediaStore: MediaStore): Promise<number> {
  const used = new Set<string>()
  for await (const uri of mediaOnTopic(broker)) used.add(uri)
  for await (const { upload } of all((options) => catalogue.listTracks(options))) if (upload) used.add(upload.media.uri)
  for await (const { upload } of all((options) => catalogue.listVideos(options))) if (upload) used.add(upload.media.uri)
  return mediaStore.sweep((uri) => used.has(uri), MEDIA_UNUSED_MS)
}

/** Text lies in Avro as it is: a record names its media also where its schema is lost. */
async function* mediaOnTopic(broker: Broker): AsyncGenerator<string> {
  const { name, partitions } = uploadsReceived
  for (let partition = 0; partition < partitions; partition++) {
    for await (const { value } of readPartition(broker, name, partition, PAGE)) {
      yield* Buffer.from(value ?? [])
        .toString('latin1')
        .match(MEDIA_URI) ?? []
    }
  }
}

async function* all<T>(list: (options: { after?: string; limit: number }) => Promise<Page<T>>): AsyncGenerator<T> {
  for (let after: string | undefined; ; ) {
    const page = await list({ limit: PAGE, ...(after === undefined ? {} : { after }) })
    yield* page.items
    if (page.next === undefined) return
    after = page.next
  }
}
