/** A schema registry that speaks Confluent's API: Apicurio, with its schemas in a file. */
import { join } from 'node:path'
import { SetupError } from '../ports/errors.ts'
import { artefacts } from './artefacts.ts'
import type { Cache } from './cache.ts'
import { archivedServer, jvmFlags } from './class-archive.ts'
import type { Java } from './java.ts'
import { installRegistry } from './maven.ts'
import { processService } from './process-service.ts'
import type { OwnService } from './service.ts'

const CONFLUENT_API = '/apis/ccompat/v7'
/** Every version reads what all earlier ones wrote: what schemas/ itself keeps to. */
const COMPATIBILITY = 'BACKWARD_TRANSITIVE'

export const registryEntry = `apicurio-registry-${artefacts.registry.version}`

export const registryUrl = (port: number) => `http://127.0.0.1:${port}${CONFLUENT_API}`

/** For every rung, by the registry's names. WRITE_DELAY=0: a schema that was acknowledged survives kill -9. */
export const registrySettings = (dataFile: string): Record<string, string> => ({
  'apicurio.storage.kind': 'sql',
  'apicurio.storage.sql.kind': 'h2',
  'apicurio.datasource.url': `jdbc:h2:file:${dataFile};WRITE_DELAY=0`,
  'apicurio.datasource.jdbc.initial-size': '2',
  'apicurio.datasource.jdbc.min-size': '2',
  'apicurio.datasource.jdbc.max-size': '20',
  'quarkus.http.access-log.enabled': 'false',
})

/** Answers, and keeps to BACKWARD_TRANSITIVE: the level is NONE in a new one. */
export async function registryReady(port: number): Promise<boolean> {
  const config = `${registryUrl(port)}/config`
  try {
    const { ok } = await fetch(`${registryUrl(port)}/subjects`, { signal: AbortSignal.timeout(5_000) })
    if (!ok) return false
    const response = await fetch(config, {
      method: 'PUT',
      headers: { 'content-type': 'application/vnd.schemaregistry.v1+json' },
      body: JSON.stringify({ compatibility: COMPATIBILITY }),
      signal: AbortSignal.timeout(5_000),
    })
    return response.ok
  } catch (error) {
    if (error instanceof TypeError || (error as Error).name === 'TimeoutError') return false // not listening yet
    throw new SetupError('service-failed', `${config} cannot be asked`, { cause: error })
  }
}

/** Downloaded, not started. */
export async function localRegistry(
  options: { folder: string; port: number },
  { cache, java, say }: { cache: Cache; java: Java; say: (line: string) => void },
): Promise<OwnService> {
  const app = await cache.entry(registryEntry, async (partial) => {
    const { version, bytes } = artefacts.registry
    say(`Downloading Apicurio Registry ${version} (${Math.round(bytes / 1e6)} MB, once) …`)
    await installRegistry(partial, java)
  })
  const jar = join(app, `apicurio-registry-app-${artefacts.registry.version}-runner.jar`)
  return archivedServer(registryEntry, options, { cache, java, say }, (at, flag) => server(at, java, jar, flag))
}

function server({ folder, port }: { folder: string; port: number }, java: Java, jar: string, flag: string): OwnService {
  const settings = {
    'quarkus.http.host': '127.0.0.1',
    'quarkus.http.port': String(port),
    ...registrySettings(join(folder, 'schemas')),
  }
  return processService({
    name: 'registry',
    port,
    folder,
    command: java.command,
    args: [
      '-Xmx384m',
      ...jvmFlags(folder, false),
      flag,
      ...Object.entries(settings).map(([name, value]) => `-D${name}=${value}`),
      '-jar',
      jar,
    ],
    ready: () => registryReady(port),
  })
}
