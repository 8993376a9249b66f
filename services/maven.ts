/** Programs that come from Maven repositories, by the machine's Maven: mirrors and proxies of its settings hold. */
import { createHash } from 'node:crypto'
import { createReadStream, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { SetupError } from '../ports/errors.ts'
import { artefacts, type KafkaVersion } from './artefacts.ts'
import type { Java } from './java.ts'
import { runTool, tryTool } from './tools.ts'

const PLUGIN = 'org.apache.maven.plugins:maven-dependency-plugin'

export const hasMaven = async (): Promise<boolean> => (await tryTool('which', ['mvn'])) !== undefined

/** The broker and all that it needs, as jars in `folder`, not verified. slf4j-simple: without a binding nothing is logged. */
export async function copyKafkaJars(version: string, folder: string, java: Java): Promise<void> {
  const pom = join(folder, 'pom.xml')
  const dependency = (group: string, artifact: string, of: string) =>
    `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${of}</version></dependency>`
  writeFileSync(
    pom,
    `<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
<groupId>cuestream</groupId><artifactId>kafka</artifactId><version>1</version><dependencies>
${dependency('org.apache.kafka', 'kafka_2.13', version)}
${dependency('org.slf4j', 'slf4j-simple', '1.7.36')}
</dependencies></project>
`,
  )
  await maven(`Installing Kafka ${version}`, java, [
    '--file',
    pom,
    `${PLUGIN}:3.6.1:copy-dependencies`,
    '-DincludeScope=runtime',
    `-DoutputDirectory=${join(folder, 'libs')}`,
  ])
}

/** @throws SetupError 'install-failed' | 'bad-hash' */
export async function installKafka(
  version: KafkaVersion,
  folder: string,
  java: Java,
  jars = artefacts.kafka[version].jars,
): Promise<void> {
  await copyKafkaJars(version, folder, java)
  const libs = join(folder, 'libs')
  const found = readdirSync(libs)
  const unknown = found.filter((name) => jars[name] === undefined)
  const missing = Object.keys(jars).filter((name) => !found.includes(name))
  if (unknown.length > 0 || missing.length > 0) {
    const lists = [...unknown.map((name) => `${name} is not pinned`), ...missing.map((name) => `${name} is missing`)]
    throw new SetupError('bad-hash', `Kafka ${version} came with other jars than are pinned: ${lists.join(', ')}`)
  }
  for (const [name, sha256] of Object.entries(jars)) await verify(join(libs, name), sha256)
}

/** Apicurio's application, unpacked. @throws SetupError 'install-failed' | 'bad-hash' */
export async function installRegistry(
  folder: string,
  java: Java,
  { version, sha256 } = artefacts.registry,
): Promise<void> {
  const what = `Installing Apicurio Registry ${version}`
  const archive = join(folder, `apicurio-registry-app-${version}-all.tar.gz`)
  // 2.8 takes the file alone; later ones read its POM, whose parent is not published.
  const artifact = `io.apicurio:apicurio-registry-app:${version}:tar.gz:all`
  await maven(what, java, [`${PLUGIN}:2.8:get`, '-Dtransitive=false', `-Dartifact=${artifact}`, `-Ddest=${archive}`])
  await verify(archive, sha256)
  await runTool(what, 'tar', ['-xzf', archive], { cwd: folder })
  rmSync(archive)
}

/** S3Proxy, as one jar at `file`. @throws SetupError 'install-failed' | 'bad-hash' */
export async function installS3(file: string, java: Java, { version, sha256 } = artefacts.s3): Promise<void> {
  const artifact = `org.gaul:s3proxy:${version}:jar:jar-with-dependencies`
  const get = [`${PLUGIN}:2.8:get`, '-Dtransitive=false', `-Dartifact=${artifact}`, `-Ddest=${file}`]
  await maven(`Installing S3Proxy ${version}`, java, get)
  await verify(file, sha256)
}

async function maven(what: string, java: Java, args: readonly string[]): Promise<void> {
  const env = java.home === undefined ? process.env : { ...process.env, JAVA_HOME: java.home }
  await runTool(what, 'mvn', ['--batch-mode', '--quiet', ...args], { env })
}

/** @throws SetupError 'bad-hash' */
export async function verify(file: string, sha256: string): Promise<void> {
  const found = await sha256Of(file)
  if (found === sha256) return
  throw new SetupError(
    'bad-hash',
    `${file} has the SHA-256 ${found}, pinned is ${sha256}: it is not the file that was released. ` +
      'Delete it from ~/.m2/repository and try again; if it comes back, the mirror that Maven uses gives out another file.',
  )
}

export async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(file), hash)
  return hash.digest('hex')
}
