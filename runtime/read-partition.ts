import type { Broker, StoredRecord } from '../ports/broker.ts'

/** @yields every record of a partition from an offset on, read as they are asked for, `atOnce` at a time. */
export async function* readPartition(
  broker: Pick<Broker, 'read'>,
  topic: string,
  partition: number,
  atOnce: number,
  from = 0,
): AsyncGenerator<StoredRecord> {
  for (let offset = from; ; ) {
    const page = await broker.read(topic, partition, offset, atOnce)
    if (page.length === 0) return
    yield* page
    offset = page.at(-1)!.offset + 1
  }
}
