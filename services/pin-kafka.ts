/**
 * Pins a version of Kafka: downloads it by Maven and writes its jars' SHA-256 into artefacts.json.
 *
 *     node --import tsx services/pin-kafka.ts 4.4.0
 *
 * The hashes are those of the files that this machine gets: compare the difference with another machine's. Then name the
 * version in artefacts.ts.
 */
import { mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { artefacts } from './artefacts.ts'
import { systemJava } from './java.ts'
import { copyKafkaJars, sha256Of } from './maven.ts'

const version = process.argv[2]
const java = await systemJava()
if (version === undefined || java === undefined) throw new Error('usage: pin-kafka.ts VERSION, with Java 17 and Maven')
const folder = mkdtempSync(join(tmpdir(), 'cuestream-pin-'))
try {
  await copyKafkaJars(version, folder, java)
  const libs = join(folder, 'libs')
  const jars: Record<string, string> = {}
  let bytes = 0
  for (const name of readdirSync(libs).sort()) {
    jars[name] = await sha256Of(join(libs, name))
    bytes += statSync(join(libs, name)).size
  }
  const pinned = { ...artefacts, kafka: { ...artefacts.kafka, [version]: { bytes, jars } } }
  writeFileSync(new URL('artefacts.json', import.meta.url), `${JSON.stringify(pinned, null, 2)}\n`)
} finally {
  rmSync(folder, { recursive: true })
}
