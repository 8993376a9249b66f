/**
 * What the services are made of, pinned in artefacts.json: versions and SHA-256 of all that is downloaded here, and the
 * tags of the images that a Docker engine pulls.
 */
import { readFileSync } from 'node:fs'

export interface Artefacts {
  readonly kafka: Readonly<
    Record<KafkaVersion, { readonly bytes: number; readonly jars: Readonly<Record<string, string>> }>
  >
  /** Apicurio, as one archive. */
  readonly registry: { readonly version: string; readonly bytes: number; readonly sha256: string }
  /** A Redis server, and the Query Engine and JSON modules for it: "name==version" to SHA-256. */
  readonly redis: {
    readonly version: string
    readonly bytes: number
    readonly wheels: Readonly<Record<string, string>>
  }
  /** S3Proxy, as one jar. */
  readonly s3: { readonly version: string; readonly bytes: number; readonly sha256: string }
  /** For machines whose own Java is missing or too old: "platform-arch" to SHA-256. */
  readonly java: { readonly version: string; readonly bytes: number; readonly wheels: Readonly<Record<string, string>> }
  readonly images: { readonly kafka: string; readonly registry: string; readonly redis: string; readonly s3: string }
}

export type KafkaVersion = '4.3.1' | '3.9.2'

/** The first is the default. */
export const kafkaVersions: readonly KafkaVersion[] = ['4.3.1', '3.9.2']

export const artefacts = JSON.parse(readFileSync(new URL('artefacts.json', import.meta.url), 'utf8')) as Artefacts
