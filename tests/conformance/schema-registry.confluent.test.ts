import { openConfluentRegistry } from '../../adapters/confluent/schema-registry.ts'
import { testServices } from '../support/services.ts'
import { schemaRegistryConformance } from './schema-registry.ts'

const { schemaRegistryUrl: url } = await testServices()
let registry: ReturnType<typeof openConfluentRegistry> | undefined
const open = async () => {
  registry = openConfluentRegistry({ url })
  return registry
}
const close = async () => registry?.close()

schemaRegistryConformance('a Confluent-compatible server', { open, close, reopen: () => close().then(open) })
