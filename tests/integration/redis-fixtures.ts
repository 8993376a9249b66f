/** Redis servers of a test beside those of the ladder: the same program with other settings. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdirSync, readlinkSync, statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { after } from 'node:test'
import { Redis } from 'ioredis'
import { freePort } from '../../services/ports.ts'
import type { RunningService } from '../../services/service.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

export const NO_PROCESS = 'the server is not a process of this machine'

/** For a server that comes back with its last snapshot. */
export const SNAPSHOTS = ['--save', '3600 1']
/** For a server that comes back with every write. */
export const EVERY_WRITE = ['--appendonly', 'yes', '--appendfsync', 'always']

export interface OtherServer {
  readonly url: string
  /** Writes a snapshot. */
  save(): Promise<void>
  /** By SIGKILL. */
  restart(): Promise<void>
  /** Bytes of the file of every write. */
  fileBytes(): number
  /** As `restart`, and what was written to the file since is lost, as when the machine loses power. */
  restartAt(fileBytes: number): Promise<void>
}

/** Settings that load the Query Engine of the server at `url`. */
export async function engineOf(url: string): Promise<string[]> {
  const redis = new Redis(url, { protocol: 2 })
  const modules = (await redis.call('MODULE', 'LIST')) as string[][]
  redis.disconnect()
  const search = modules.find((module) => module[1] === 'search')!
  return ['--loadmodule', search[search.indexOf('path') + 1]!]
}

/** Ends with the test. @returns undefined where the program cannot be found. */
export async function otherServer(
  { pid }: RunningService,
  settings: readonly string[],
): Promise<OtherServer | undefined> {
  if (pid === undefined || process.platform !== 'linux') return undefined
  const program = readlinkSync(`/proc/${pid}/exe`)
  const port = await freePort()
  const url = `redis://127.0.0.1:${port}`
  const folder = temporaryFolder()
  const common = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder, '--save', '']
  const file = () => {
    const appended = join(folder, 'appendonlydir')
    return join(appended, readdirSync(appended).find((name) => name.endsWith('.incr.aof'))!)
  }
  let child: ChildProcess
  const start = async () => {
    child = spawn(program, [...common, ...settings], { stdio: 'ignore' })
    await until('the other server answers', async () => {
      const probe = new Redis(url, { lazyConnect: true, retryStrategy: null })
      probe.on('error', () => {})
      const answered = await probe.ping().catch(() => false)
      probe.disconnect()
      return answered !== false
    })
  }
  const kill = async () => {
    const ended = once(child, 'exit')
    child.kill('SIGKILL')
    await ended
  }
  await start()
  after(kill)
  return {
    url,
    async save() {
      const redis = new Redis(url)
      await redis.save()
      redis.disconnect()
    },
    restart: () => kill().then(start),
    fileBytes: () => statSync(file()).size,
    async restartAt(fileBytes) {
      await kill()
      truncateSync(file(), fileBytes)
      await start()
    },
  }
}
