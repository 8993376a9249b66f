import { EmbeddedSchemaRegistry } from '../../adapters/embedded/schema-registry.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { schemaRegistryConformance } from './schema-registry.ts'

const dataFolder = temporaryFolder()
let registry: EmbeddedSchemaRegistry | undefined
const open = async () => {
  registry = new EmbeddedSchemaRegistry({ dataFolder })
  return registry
}
const close = async () => registry?.close()

schemaRegistryConformance('the embedded adapter', { open, close, reopen: () => close().then(open) })
