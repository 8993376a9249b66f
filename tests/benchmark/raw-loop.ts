/**
 * The reference of the pipeline benchmark: kafkajs with nothing around it. Each batch that a fetch gives is answered by
 * as many records of `outputBytes`; no record is decoded, checked or measured.
 *
 *     input ──▶ eachBatch (all partitions at once) ──▶ output, acks = all
 *
 * 'plain': offsets are committed after the outputs, by kafkajs itself. 'transactions': outputs and offsets of a batch in
 * one transaction, a transactional id a partition, as the product promises.
 */
import { Kafka, logLevel, type Producer } from 'kafkajs'
import type { Progress } from './observed-broker.ts'

export interface RawLoopOptions {
  readonly brokers: readonly string[]
  readonly input: string
  readonly output: string
  readonly partitions: number
  readonly group: string
  readonly outputBytes: number
  readonly guarantee: 'plain' | 'transactions'
  readonly progress: Progress
}

/** Runs until stopped; `ended` rejects with what ended it before. */
export async function startRawLoop(options: RawLoopOptions): Promise<{ ended: Promise<void>; stop(): Promise<void> }> {
  const { input, output, group, partitions, guarantee, progress } = options
  // 20 ms: with kafkajs' 300 a transaction that follows another at once waits 100 ms (CONCURRENT_TRANSACTIONS).
  const kafka = new Kafka({
    clientId: 'raw-loop',
    brokers: [...options.brokers],
    logLevel: logLevel.NOTHING,
    retry: { initialRetryTime: 20 },
  })
  const isAtomic = guarantee === 'transactions'
  const producers: Producer[] = []
  for (let partition = 0; partition < (isAtomic ? partitions : 1); partition++) {
    const transactional = { transactionalId: `${group}-${partition}`, idempotent: true, maxInFlightRequests: 1 }
    const producer = kafka.producer(isAtomic ? transactional : {})
    await producer.connect()
    producers.push(producer)
  }
  const value = Buffer.alloc(options.outputBytes, 7)
  const consumer = kafka.consumer({ groupId: group, readUncommitted: false })
  const ended = new Promise<void>((resolve, reject) => {
    consumer.on('consumer.disconnect', () => resolve())
    consumer.on('consumer.crash', ({ payload }) => reject(payload.error))
  })
  await consumer.connect()
  await consumer.subscribe({ topic: input, fromBeginning: true })
  await consumer.run({
    autoCommit: !isAtomic,
    partitionsConsumedConcurrently: partitions,
    async eachBatch({ batch, heartbeat }) {
      progress.begun()
      const messages = batch.messages.map(({ key }) => ({ key, value }))
      const acks = -1
      if (isAtomic) {
        const offset = String(BigInt(batch.lastOffset()) + 1n)
        const topics = [{ topic: input, partitions: [{ partition: batch.partition, offset }] }]
        const transaction = await producers[batch.partition]!.transaction()
        await transaction.send({ topic: output, messages, acks })
        await transaction.sendOffsets({ consumerGroupId: group, topics })
        await transaction.commit()
      } else await producers[0]!.send({ topic: output, messages, acks })
      await heartbeat()
      progress.committed(messages.length)
    },
  })
  return {
    ended,
    async stop() {
      await consumer.disconnect()
      await Promise.all(producers.map((producer) => producer.disconnect()))
    },
  }
}
