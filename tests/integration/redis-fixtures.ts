/** Redis servers of a test beside those of the ladder: the same program with other settings. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readlinkSync } from 'node:fs'
import { after } from 'node:test'
import { Redis } from 'ioredis'
import { freePort } from '../../services/ports.ts'
import type { RunningService } from '../../services/service.ts'
import { temporaryFolder } from '../support/temporary-folder.ts'
import { until } from '../support/until.ts'

export const NO_PROCESS = 'the server is not a process of this machine'

/** For a server that comes back with its last snapshot. */
export const SNAPSHOTS = ['--save', '3600 1']

export interface OtherServer {
  readonly url: string
  /** Writes a snapshot. */
  save(): Promise<void>
  /** By SIGKILL. */
  restart(): Promise<void>
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
  const common = ['--bind', '127.0.0.1', '--port', String(port), '--dir', temporaryFolder(), '--save', '']
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
  }
}
