/**
 * Adds to package-lock.json the optional platform packages that npm left out: `npm run lockfile`.
 *
 * Where a registry lacks one (a mirror, say), `npm install` skips it silently, and `npm ci` then refuses the lock
 * everywhere. An entry without a hash is enough: npm reads it on the platforms that it names only.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

interface Entry {
  version?: string
  dev?: boolean
  optional?: boolean
  optionalDependencies?: Record<string, string>
  os?: string[]
  cpu?: string[]
  libc?: string[]
}

const path = fileURLToPath(new URL('../../package-lock.json', import.meta.url))

/** @returns the lock and what `npm ci` would miss in it. */
export function missingFromLock(): { lock: { packages: Record<string, Entry> }; missing: Map<string, Entry> } {
  const lock = JSON.parse(readFileSync(path, 'utf8')) as { packages: Record<string, Entry> }
  const missing = new Map<string, Entry>()
  for (const [parent, { dev, optionalDependencies = {} }] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(optionalDependencies)) {
      if (lock.packages[`node_modules/${name}`] ?? lock.packages[`${parent}/node_modules/${name}`]) continue
      missing.set(`node_modules/${name}`, { version, ...(dev ? { dev } : {}), optional: true, ...platformOf(name) })
    }
  }
  return { lock, missing }
}

/** By the convention of such packages' names: …-linux-x64-musl. */
function platformOf(name: string): Pick<Entry, 'os' | 'cpu' | 'libc'> {
  const find = (known: readonly string[]) => known.find((word) => new RegExp(`[-/]${word}(-|$)`).test(name))
  const os = find([
    'android',
    'darwin',
    'linux',
    'win32',
    'freebsd',
    'netbsd',
    'openbsd',
    'sunos',
    'aix',
    'openharmony',
  ])
  const cpu = find(['arm64', 'x64', 'arm', 'ia32', 'ppc64', 's390x', 'riscv64', 'loong64', 'mips64el'])
  if (os === undefined || cpu === undefined) throw new Error(`${name} does not name its platform; add it by hand`)
  return { os: [os], cpu: [cpu], ...(os === 'linux' && /musl/.test(name) ? { libc: ['musl'] } : {}) }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { lock, missing } = missingFromLock()
  for (const [name, entry] of missing) lock.packages[name] = entry
  const packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1)))
  writeFileSync(path, `${JSON.stringify({ ...lock, packages }, null, 2)}\n`)
}
