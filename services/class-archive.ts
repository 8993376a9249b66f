/** Java starts in half the time with an archive of the classes that a server loads, made once by a run for nothing else. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { Cache } from './cache.ts'
import type { Java } from './java.ts'
import { freePort } from './ports.ts'
import type { OwnService } from './service.ts'
import { tryTool } from './tools.ts'

const FILE = 'classes.jsa'

/**
 * Small and quick to start; files of its own in its own folder, so that a killed server leaves none elsewhere.
 * @param steady for a server that runs long: what it does often is compiled in full, and collecting garbage stops it shortly.
 */
export function jvmFlags(folder: string, steady: boolean): string[] {
  mkdirSync(join(folder, 'tmp'), { recursive: true })
  return [
    '-XX:+IgnoreUnrecognizedVMOptions', // other builds of Java
    ...(steady ? ['-XX:+UseG1GC'] : ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC']),
    '-XX:-UsePerfData',
    `-Djava.io.tmpdir=${join(folder, 'tmp')}`,
  ]
}

/** An archive that does not fit is passed over by Java, with no harm but time. */
export const archiveFlag = (file: string) => `-XX:SharedArchiveFile=${file}`

/**
 * @param start the server in `folder`, with `flag` for its Java; it is stopped here, which writes the archive.
 * @returns its file.
 */
export async function classArchive(
  name: string,
  { cache, java, say }: { cache: Cache; java: Java; say: (line: string) => void },
  start: (folder: string, flag: string) => Promise<OwnService>,
): Promise<string> {
  const entry = await cache.entry(`${name}-classes-${java.build}`, async (partial) => {
    // Some builds of Java have no archive of their own classes, and none can be made on top: servers just start slower.
    if ((await tryTool(java.command, ['-Xshare:on', '-version'])) === undefined) return
    say(`Preparing ${name} for quick starts (once) …`)
    const folder = join(partial, 'trial')
    const server = await start(folder, `-XX:ArchiveClassesAtExit=${join(partial, FILE)}`)
    await server.stop()
    rmSync(folder, { recursive: true, force: true })
  })
  return join(entry, FILE)
}

/** A server that one jar holds, with its class archive. @param server makes it, not started */
export async function archivedServer(
  name: string,
  options: { folder: string; port: number },
  tools: { cache: Cache; java: Java; say: (line: string) => void },
  server: (options: { folder: string; port: number }, flag: string) => OwnService,
): Promise<OwnService> {
  const archive = await classArchive(name, tools, async (folder, flag) => {
    const trial = server({ folder, port: await freePort() }, flag)
    await trial.start()
    return trial
  })
  return server(options, archiveFlag(archive))
}
