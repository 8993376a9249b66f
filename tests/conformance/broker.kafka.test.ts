import { openKafkaBroker } from '../../adapters/kafka/broker.ts'
import type { Broker } from '../../ports/broker.ts'
import { testServices } from '../support/services.ts'
import { brokerConformance } from './broker.ts'

let broker: Broker | undefined
const open = async () => {
  const { kafkaBrokers } = await testServices()
  broker = await openKafkaBroker({ brokers: kafkaBrokers, clientId: 'conformance' })
  return broker
}
const close = async () => broker?.close()

brokerConformance('Apache Kafka', { open, close, reopen: () => close().then(open) })
