/**
 * An S3 service for tests: S3Proxy over a folder. It checks signatures, the hashes of bodies and conditions, and lists in
 * pages. Production has one of its own (docs/services.md).
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { artefacts } from './artefacts.ts'
import type { Cache } from './cache.ts'
import { archivedServer, jvmFlags } from './class-archive.ts'
import type { Java } from './java.ts'
import { installS3 } from './maven.ts'
import { processService } from './process-service.ts'
import type { OwnService } from './service.ts'

const JAR = 's3proxy.jar'

export const s3Entry = `s3proxy-${artefacts.s3.version}`

/** Of a service that is reached from this machine alone. */
export const s3Keys = { accessKey: 'cuestream', secretKey: 'cuestream-secret' }

export const s3Url = (port: number) => `http://${s3Keys.accessKey}:${s3Keys.secretKey}@127.0.0.1:${port}`

/** It answers, and refuses who does not sign. */
export async function s3Ready(port: number): Promise<boolean> {
  const signal = AbortSignal.timeout(5_000)
  const response = await fetch(`http://127.0.0.1:${port}/`, { signal }).catch(() => undefined)
  return response?.status === 403
}

/** Downloaded, not started. */
export async function localS3(
  options: { folder: string; port: number },
  { cache, java, say }: { cache: Cache; java: Java; say: (line: string) => void },
): Promise<OwnService> {
  const app = await cache.entry(s3Entry, async (partial) => {
    const { version, bytes } = artefacts.s3
    say(`Downloading S3Proxy ${version} (${Math.round(bytes / 1e6)} MB, once) …`)
    await installS3(join(partial, JAR), java)
  })
  const jar = join(app, JAR)
  return archivedServer(s3Entry, options, { cache, java, say }, (at, flag) => server(at, java, jar, flag))
}

function server({ folder, port }: { folder: string; port: number }, java: Java, jar: string, flag: string): OwnService {
  const settings = {
    's3proxy.endpoint': `http://127.0.0.1:${port}`,
    's3proxy.authorization': 'aws-v4',
    's3proxy.identity': s3Keys.accessKey,
    's3proxy.credential': s3Keys.secretKey,
    'jclouds.provider': 'filesystem-nio2',
    'jclouds.filesystem.basedir': join(folder, 'buckets'),
  }
  mkdirSync(join(folder, 'buckets'), { recursive: true })
  const file = join(folder, 's3proxy.properties')
  writeFileSync(
    file,
    Object.entries(settings)
      .map(([name, value]) => `${name}=${value}\n`)
      .join(''),
  )
  return processService({
    name: 's3',
    port,
    folder,
    command: java.command,
    args: ['-Xmx256m', ...jvmFlags(folder, false), flag, '-jar', jar, '--properties', file],
    ready: () => s3Ready(port),
  })
}
