/**
 * A data folder belongs to one process at a time.
 *
 * The owner is a record in a small LMDB file inside the folder; it is replaced in a transaction and only if it is still
 * the one that was judged dead, so two processes that start at once cannot both win. Whether an owner lives:
 *
 *   [boot]    it began before the machine last started: dead
 *   [process] same PID namespace: alive if that process exists and started at the same time (a PID may be reused)
 *   [socket]  other namespace (containers that share a volume), or no /proc: alive if the socket that it listens on
 *             in the folder takes a connection; the kernel closes it with the process, kill -9 included
 *   [unsure]  none of these can tell: taken for alive, and the error says what to do
 *
 * All this is on one machine: like LMDB itself, it does not work over a network file system.
 */
import { randomUUID } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { connect, createServer, type Server } from 'node:net'
import { basename, join, resolve } from 'node:path'
import { type Database, open } from 'lmdb'
import { SetupError } from '../../ports/errors.ts'

const OWNER_FILE = 'owner.mdb'
/** sun_path is 104 bytes on macOS, 108 on Linux. */
const LONGEST_SOCKET_PATH = 100
const PROBE_TIMEOUT_MS = 2_000

export interface FolderOwner {
  readonly pid: number
  readonly url?: string
}

interface OwnerRecord extends FolderOwner {
  readonly token: string
  readonly bootId: string | null
  readonly pidNamespace: string | null
  /** Clock ticks since boot. */
  readonly startTime: string | null
  /** File name inside the folder, which others may see under another path. */
  readonly socket: string | null
}

export interface FolderHold {
  /** Tells readers of the folder where the owner answers. */
  announceUrl(url: string): Promise<void>
  release(): Promise<void>
}

/** @throws SetupError 'data-folder-in-use' naming the owner. */
export async function acquireFolder(path: string, info: { url?: string } = {}): Promise<FolderHold> {
  const folder = resolve(path)
  mkdirSync(folder, { recursive: true })
  const token = randomUUID()
  const { server, socket } = await listen(folder, `owner-${token.slice(0, 8)}.sock`)
  const mine: OwnerRecord = {
    ...describeProcess(),
    token,
    socket,
    ...(info.url === undefined ? {} : { url: info.url }),
  }
  const letGo = async () => {
    await new Promise<void>((done) => (server === undefined ? done() : server.close(() => done())))
    if (socket !== null) rmSync(join(folder, socket), { force: true })
  }
  try {
    await takeOver(folder, mine)
  } catch (error) {
    await letGo()
    throw error
  }
  return {
    async announceUrl(url) {
      await withOwnerFile(folder, (db) => void db.put('owner', { ...mine, url }))
    },
    async release() {
      await withOwnerFile(folder, (db) => {
        if (db.get('owner')?.token === token) db.remove('owner')
      })
      await letGo()
    },
  }
}

/** The living owner of the folder, if it has one. */
export async function readFolderOwner(path: string): Promise<FolderOwner | undefined> {
  const folder = resolve(path)
  if (!existsSync(join(folder, OWNER_FILE))) return undefined
  const owner = await withOwnerFile(folder, (db) => db.get('owner'))
  if (owner === undefined || !(await isAlive(folder, owner))) return undefined
  return { pid: owner.pid, ...(owner.url === undefined ? {} : { url: owner.url }) }
}

async function takeOver(folder: string, mine: OwnerRecord): Promise<void> {
  for (;;) {
    const seen = await withOwnerFile(folder, (db) => db.get('owner'))
    if (seen !== undefined && (await isAlive(folder, seen))) {
      const where = seen.url === undefined ? '' : ` at ${seen.url}`
      throw new SetupError(
        'data-folder-in-use',
        `${folder} is in use by process ${seen.pid}${where}; stop it or choose another data folder ` +
          `(if there is no such process, delete ${join(folder, OWNER_FILE)})`,
      )
    }
    const won = await withOwnerFile(folder, (db) => {
      if (db.get('owner')?.token !== seen?.token) return false
      db.put('owner', mine)
      return true
    })
    if (!won) continue
    if (seen?.socket) rmSync(join(folder, basename(seen.socket)), { force: true })
    return
  }
}

/** In one transaction, which other processes wait for. */
async function withOwnerFile<T>(folder: string, use: (db: Database<OwnerRecord, string>) => T): Promise<T> {
  const db = open<OwnerRecord, string>({ path: join(folder, OWNER_FILE), noSubdir: true, encoding: 'json' })
  try {
    return db.transactionSync(() => use(db))
  } finally {
    await db.close()
  }
}

async function isAlive(folder: string, owner: OwnerRecord): Promise<boolean> {
  const here = describeProcess()
  if (owner.bootId !== null && here.bootId !== null && owner.bootId !== here.bootId) return false // [boot]
  if (owner.pidNamespace !== null && owner.pidNamespace === here.pidNamespace) {
    return owner.startTime !== null && owner.startTime === startTimeOf(owner.pid) // [process]
  }
  if (owner.socket !== null) return answers(join(folder, owner.socket)) // [socket]
  return true // [unsure]
}

/** Which run of the machine this is; null where the system does not say. */
export function bootId(): string | null {
  return attempt(() => readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim())
}

function describeProcess(): Pick<OwnerRecord, 'pid' | 'bootId' | 'pidNamespace' | 'startTime'> {
  return {
    pid: process.pid,
    bootId: bootId(),
    pidNamespace: attempt(() => readlinkSync('/proc/self/ns/pid')),
    startTime: startTimeOf(process.pid),
  }
}

/** Field 22 of /proc/<pid>/stat; the second field, a name in parentheses, may contain anything. Null without one. */
function startTimeOf(pid: number): string | null {
  return attempt(() => {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    const [state, startTime] = [fields[0], fields[19]]
    return state === 'Z' || state === 'X' ? null : (startTime ?? null)
  })
}

function attempt<T>(read: () => T): T | null {
  try {
    return read()
  } catch {
    return null
  }
}

/** Listens only to be connected to. No socket where the path is too long or the file system has none. */
async function listen(folder: string, name: string): Promise<{ server?: Server; socket: string | null }> {
  const path = join(folder, name)
  if (process.platform === 'win32' || Buffer.byteLength(path) > LONGEST_SOCKET_PATH) return { socket: null }
  const server = createServer((connection) => connection.destroy())
  const listening = await new Promise<boolean>((done) => {
    server.once('error', () => done(false))
    server.listen(path, () => done(true))
  })
  if (!listening) return { socket: null }
  server.unref()
  return { server, socket: name }
}

function answers(socket: string): Promise<boolean> {
  return new Promise((done) => {
    const connection = connect(socket)
    const finish = (alive: boolean) => {
      connection.destroy()
      done(alive)
    }
    connection.setTimeout(PROBE_TIMEOUT_MS, () => finish(true))
    connection.once('connect', () => finish(true))
    connection.once('error', (error: NodeJS.ErrnoException) =>
      finish(!['ECONNREFUSED', 'ENOENT'].includes(error.code!)),
    )
  })
}
