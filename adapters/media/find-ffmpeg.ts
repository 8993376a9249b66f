/**
 * Finds ffmpeg and ffprobe: those that are configured, else the system's, else those that npm packages carry.
 * What was taken, and its version, is in the result, so that start-up can say so.
 */
import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chmod, copyFile, mkdir, rename, rm, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, delimiter, dirname, isAbsolute, join } from 'node:path'
import { promisify } from 'node:util'
import { SetupError } from '../../ports/errors.ts'

const run = promisify(execFile)

export interface Binary {
  readonly path: string
  readonly from: 'configured' | 'system' | 'bundled'
  /** As it names itself: '5.1.9-0+deb12u1', 'N-47683-g0e8eb07980-static'. */
  readonly version: string
}

export interface FfmpegBinaries {
  readonly ffmpeg: Binary
  readonly ffprobe: Binary
  /** util-linux' prlimit, which sets the decoder's memory, CPU and file limits; undefined where there is none. */
  readonly prlimit: string | undefined
}

export interface FindFfmpegOptions {
  /** Absolute paths (CUESTREAM_FFMPEG, CUESTREAM_FFPROBE). One that does not work is an error, not a reason to look on. */
  readonly ffmpegPath?: string | undefined
  readonly ffprobePath?: string | undefined
  /** Where a system binary is looked for: the value of PATH. */
  readonly searchPath: string
  /** Private to this user: bundled binaries are copied here when they can neither be run nor made runnable in place. */
  readonly cacheFolder: string
}

/** libavcodec of ffmpeg 4.0: builds from git name a commit as their version, so the library's is compared. */
const oldestLibavcodec = 58

/** @throws SetupError 'ffmpeg-missing' saying what was tried. */
export async function findFfmpeg(options: FindFfmpegOptions): Promise<FfmpegBinaries> {
  const system = await systemPair(options)
  const pick = async (tool: 'ffmpeg' | 'ffprobe', configured: string | undefined): Promise<Binary> => {
    if (configured !== undefined) return check(configured, 'configured')
    return system ? system[tool] : check(await bundledPath(tool, options.cacheFolder), 'bundled')
  }
  const ffmpeg = await pick('ffmpeg', options.ffmpegPath)
  const ffprobe = await pick('ffprobe', options.ffprobePath)
  const prlimit = process.platform === 'linux' ? await onPath('prlimit', options.searchPath) : undefined
  const works = prlimit !== undefined && (await answers(prlimit, ['--nofile=64', ffprobe.path, '-version']))
  return { ffmpeg, ffprobe, prlimit: works ? prlimit : undefined }
}

/** Both or neither: a pair of one origin is what its makers tested. */
async function systemPair(options: FindFfmpegOptions): Promise<{ ffmpeg: Binary; ffprobe: Binary } | undefined> {
  const ffmpeg = await onPath('ffmpeg', options.searchPath)
  const ffprobe = await onPath('ffprobe', options.searchPath)
  if (ffmpeg === undefined || ffprobe === undefined) return undefined
  try {
    return { ffmpeg: await check(ffmpeg, 'system'), ffprobe: await check(ffprobe, 'system') }
  } catch {
    return undefined // too old or broken: the bundled pair is taken, and the result says so
  }
}

async function onPath(tool: string, searchPath: string): Promise<string | undefined> {
  for (const folder of searchPath.split(delimiter)) {
    if (!isAbsolute(folder)) continue
    const path = join(folder, tool)
    if (await isExecutable(path)) return path
  }
  return undefined
}

async function check(path: string, from: Binary['from']): Promise<Binary> {
  const missing = (why: string, cause?: unknown) =>
    new SetupError(
      'ffmpeg-missing',
      `${path} (${from}) ${why}. Install ffmpeg 4 or later, or set CUESTREAM_FFMPEG and CUESTREAM_FFPROBE.`,
      { cause },
    )
  if (!isAbsolute(path)) throw missing('is not an absolute path')
  let banner: string
  try {
    banner = (await run(path, ['-hide_banner', '-version'], { env: {}, timeout: 20_000 })).stdout
  } catch (cause) {
    throw missing('does not run', cause)
  }
  const version = /^ff(?:mpeg|probe) version (\S+)/.exec(banner)?.[1]
  const libavcodec = /^libavcodec +(\d+)\./m.exec(banner)?.[1]
  if (version === undefined || libavcodec === undefined) throw missing('does not answer as ffmpeg does')
  if (Number(libavcodec) < oldestLibavcodec) throw missing(`is version ${version}, which is too old`)
  return { path, from, version }
}

/** npm packages one a platform; their install scripts (which set the executable bit) do not run here. */
async function bundledPath(tool: 'ffmpeg' | 'ffprobe', cacheFolder: string): Promise<string> {
  const platform = `${process.platform}-${process.arch}`
  let path: string
  try {
    const installer = createRequire(import.meta.url).resolve(`@${tool}-installer/${tool}/package.json`)
    const manifest = createRequire(installer).resolve(`@${tool}-installer/${platform}/package.json`)
    path = join(dirname(manifest), tool)
    await access(path)
  } catch (cause) {
    throw new SetupError(
      'ffmpeg-missing',
      `No ${tool} on the PATH and none bundled for ${platform}. Install ffmpeg 4 or later, or set CUESTREAM_FFMPEG and CUESTREAM_FFPROBE.`,
      { cause },
    )
  }
  return makeRunnable(path, cacheFolder)
}

/** @returns `path` once it is executable, or an executable copy of it in `cacheFolder`. */
export async function makeRunnable(path: string, cacheFolder: string, setMode = chmod): Promise<string> {
  if (await isExecutable(path)) return path
  try {
    await setMode(path, 0o755)
    return path
  } catch {
    // Not ours, or read-only: a copy is.
  }
  const copy = join(cacheFolder, `${(await stat(path)).size}-${basename(path)}`)
  if (await isExecutable(copy)) return copy
  await mkdir(cacheFolder, { recursive: true })
  const temporary = `${copy}.${process.pid}`
  try {
    await copyFile(path, temporary)
    await chmod(temporary, 0o755)
    await rename(temporary, copy)
  } finally {
    await rm(temporary, { force: true })
  }
  return copy
}

async function isExecutable(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}

async function answers(path: string, argv: readonly string[]): Promise<boolean> {
  try {
    await run(path, argv, { env: {}, timeout: 20_000 })
    return true
  } catch {
    return false
  }
}
