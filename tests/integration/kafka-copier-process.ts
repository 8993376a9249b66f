/** A member of a group in a process of its own; see kafka-fixtures.ts. It says on stdout what happens to it. */
import { openKafkaBroker } from '../../adapters/kafka/broker.ts'
import type { KafkaOptions } from '../../adapters/kafka/client.ts'
import { type CopierOptions, copy } from './kafka-fixtures.ts'

const options = JSON.parse(process.argv[2]!) as CopierOptions & Pick<KafkaOptions, 'brokers' | 'sessionTimeoutMs'>
const say = (line: string) => process.stdout.write(`${line}\n`)

const broker = await openKafkaBroker({ ...options, clientId: 'copier' })
const consumer = await copy(
  broker,
  options,
  () => void say('batch'),
  (error) => say(error === undefined ? 'committed' : `failed ${(error as { code?: string }).code}`),
)
consumer.ended.then(
  () => say('ended'),
  (error: Error) => say(`ended ${error.message}`),
)
