/** Whether a record was overtaken between a look at its partition and its own place there. */
import { setTimeout as delay } from 'node:timers/promises'
import type { Broker, StoredRecord } from '../ports/broker.ts'
import { OutageError } from '../ports/errors.ts'

const READ_AT_ONCE = 100
const LOOK_EVERY_MS = 50
/** Together longer than a transaction that nobody ends. */
const MOST_LOOKS = 600

/**
 * What one key has newest in [from, to), below a record that is known to lie at `to`. Waits for transactions that are open
 * there, and hide what lies behind them.
 * @throws OutageError 'transaction-open' when nobody ends one
 */
export async function newestBetween(
  broker: Pick<Broker, 'read'>,
  { topic, partition, key }: Pick<StoredRecord, 'topic' | 'partition' | 'key'>,
  from: number,
  to: number,
): Promise<StoredRecord | undefined> {
  let newest: StoredRecord | undefined
  for (let looks = 0; from <= to; ) {
    const page = await broker.read(topic, partition, from, READ_AT_ONCE)
    newest = page.findLast((record) => record.offset < to && record.key === key) ?? newest
    from = (page.at(-1)?.offset ?? from - 1) + 1
    if (page.length > 0) continue
    if (++looks === MOST_LOOKS)
      throw new OutageError('transaction-open', `${topic}/${partition} shows nothing of ${from}`)
    await delay(LOOK_EVERY_MS)
  }
  return newest
}
