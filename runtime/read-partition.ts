import type { Broker, StoredRecord } from '../ports/broker.ts'

/** @yields every record of a partition, read as they are asked for, `atOnce` at a time. */
export async function* readPartition(
  broker: Pick<Broker, 'read'>,
  topic: string,
  partition: number,
  atOnce: number,
): AsyncGenerator<StoredRecord> {
  for (let offset = 0; ; ) {
    const page = await broker.read(topic, partition, offset, atOnce)
    if (page.length === 0) return
    yield* page
    offset = page.at(-1)!.offset + 1
  }
}
