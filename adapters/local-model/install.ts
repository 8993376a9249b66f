/**
 * Installs node-llama-cpp, which is no dependency of the product: `npm run local-model:install [-- --folder <folder>]`.
 *
 *     npm ci ──▶ node-llama-cpp, and the one package that has llama.cpp compiled for this platform ──▶ tried out ──▶ folder
 *
 *   [pinned]   install/package-lock.json names every version, and the hash of what the registry had when it was written
 *   [quiet]    no install script runs, nothing is compiled: the network is asked for packages of the npm registry alone
 *   [small]    packages for GPUs and other platforms, 600 MB, are left out
 *   [whole]    it is made beside the folder, tried out, and renamed: a folder with its final name is complete
 */
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { SetupError } from '../../ports/errors.ts'
import { DEFAULT_FOLDER, MANIFESTS, openLlama } from './llama.ts'

interface LockEntry {
  readonly version: string
  readonly integrity?: string
  optional?: boolean
  dependencies?: object
}

/** By Node's platform and architecture; all but macOS on arm64 compute on the CPU. */
const BINARIES: Readonly<Record<string, string>> = {
  'linux-x64': 'linux-x64',
  'linux-arm64': 'linux-arm64',
  'linux-arm': 'linux-armv7l',
  'linux-riscv64': 'linux-riscv64',
  'darwin-x64': 'mac-x64',
  'darwin-arm64': 'mac-arm64-metal',
  'win32-x64': 'win-x64',
  'win32-arm64': 'win-arm64',
}

const { values } = parseArgs({ options: { folder: { type: 'string', default: DEFAULT_FOLDER } } })

try {
  await install(resolve(values.folder))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 2
}

async function install(folder: string): Promise<void> {
  const binary = `@node-llama-cpp/${binaryName()}`
  const { manifest, lock } = manifestsFor(binary)
  if (
    existsSync(join(folder, 'package-lock.json')) &&
    readFileSync(join(folder, 'package-lock.json'), 'utf8') === lock
  ) {
    await tellWhatIsThere(folder, 'is installed already')
    return
  }
  refuseOtherFolder(folder)
  mkdirSync(dirname(folder), { recursive: true })
  const partial = mkdtempSync(`${folder}.partial-`)
  try {
    writeFileSync(join(partial, 'package.json'), manifest)
    writeFileSync(join(partial, 'package-lock.json'), lock)
    npm(partial, ['ci', '--ignore-scripts', '--omit=optional', '--no-fund', '--no-audit'])
    await tryOut(partial)
    rmSync(folder, { recursive: true, force: true })
    renameSync(partial, folder) // [whole]
  } finally {
    rmSync(partial, { recursive: true, force: true })
  }
  await tellWhatIsThere(folder, 'is installed')
}

/** The folder is replaced as a whole: only one that is empty, or that this command filled. */
function refuseOtherFolder(folder: string): void {
  if (!existsSync(folder) || (statSync(folder).isDirectory() && readdirSync(folder).length === 0)) return
  const { name } = JSON.parse(readFileSync(join(MANIFESTS, 'package.json'), 'utf8')) as { name: string }
  try {
    const own = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { name?: string }
    if (own.name === name) return
  } catch {
    // no manifest of ours: refused below
  }
  throw new SetupError(
    'bad-folder',
    `${folder} holds something else, and would be lost. Name a folder of its own: --folder`,
  )
}

/** @throws SetupError where nothing is compiled for this machine. */
function binaryName(): string {
  const platform = `${process.platform}-${process.arch}`
  const name = BINARIES[platform]
  const { header } = process.report.getReport() as { header: { glibcVersionRuntime?: string } }
  if (name !== undefined && (process.platform !== 'linux' || header.glibcVersionRuntime !== undefined)) return name
  const lacking = name === undefined ? '' : ' without glibc'
  const message = `node-llama-cpp has no binary for ${platform}${lacking}. Run a model elsewhere, behind an OpenAI-compatible endpoint`
  throw new SetupError('no-local-model', message)
}

/** [small] The binary is wanted by name; the others stay optional, and are omitted. */
function manifestsFor(binary: string): { manifest: string; lock: string } {
  const read = <T>(name: string) => JSON.parse(readFileSync(join(MANIFESTS, name), 'utf8')) as T
  const manifest = read<{ dependencies: Record<string, string> }>('package.json')
  const lock = read<{ packages: Record<string, LockEntry> }>('package-lock.json')
  const entry = lock.packages[`node_modules/${binary}`]!
  if (entry.integrity === undefined) {
    const message = `No hash is known of ${binary}, which is native code. Run a model elsewhere, behind an OpenAI-compatible endpoint`
    throw new SetupError('no-local-model', message)
  }
  const dependencies = { ...manifest.dependencies, [binary]: entry.version }
  delete entry.optional
  lock.packages['']!.dependencies = dependencies
  return { manifest: text({ ...manifest, dependencies }), lock: text(lock) }
}

function text(json: unknown): string {
  return `${JSON.stringify(json, null, 2)}\n`
}

/** npm as it runs this command, else the one of the PATH. */
function npm(folder: string, args: readonly string[]): void {
  const script = process.env.npm_execpath
  const [command, ...first] = script?.endsWith('.js') ? [process.execPath, script] : ['npm']
  const { status, error } = spawnSync(command!, [...first, ...args], { cwd: folder, stdio: 'inherit' })
  if (status === 0) return
  const why = error === undefined ? `ended with ${status}` : error.message
  const message = `node-llama-cpp is not installed: npm ${args.join(' ')} ${why}. Check the network and the registry, and try again`
  throw new SetupError('no-local-model', message)
}

/** @throws SetupError 'no-local-model' */
async function tryOut(folder: string): Promise<string> {
  const { llama, version } = await openLlama({ folder, threads: 1, warn: (line) => process.stderr.write(`${line}\n`) })
  await llama.dispose()
  return version
}

async function tellWhatIsThere(folder: string, what: string): Promise<void> {
  const version = await tryOut(folder)
  const bytes = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0)
  process.stdout.write(`node-llama-cpp ${version} ${what} in ${folder} (${Math.round(bytes / 1e6)} MB) and loads.\n`)
}
