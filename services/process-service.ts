/** A service that is a process of this machine: kept in a folder, ended with this process, started again at will. */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { SetupError } from '../ports/errors.ts'
import { endsProcesses, type HeldProcess, holdProcess } from './held-process.ts'
import { type OwnService, untilReady } from './service.ts'
import { lastLines } from './tools.ts'

const LOOK_AGAIN_MS = 50

interface ProcessService {
  readonly name: string
  readonly port: number
  /** Working folder; its log is `<name>.log`. */
  readonly folder: string
  readonly command: string
  readonly args: readonly string[]
  /** @param log what it printed since this start. */
  ready(log: string): Promise<boolean>
}

/** Not started yet. */
export function processService(service: ProcessService): OwnService {
  const { name, port, folder } = service
  const logFile = join(folder, `${name}.log`)
  let running: HeldProcess | undefined
  let expected = false
  let startedBefore = false
  let fail: (error: SetupError) => void = () => {}
  const failed = new Promise<never>((_, reject) => {
    fail = reject
  })
  failed.catch(() => {})

  const complaint = (what: string, log: string) =>
    new SetupError(
      'service-failed',
      `${name} ${what}. The last lines of ${logFile}:\n${lastLines(log) || '  (nothing)'}\n` +
        'If its data are damaged, begin with an empty folder (cuestream services --fresh).',
    )

  return {
    name,
    host: '127.0.0.1',
    port,
    failed,
    get pid() {
      return running?.pid
    },
    async start() {
      if (running !== undefined) return
      mkdirSync(folder, { recursive: true })
      if (!startedBefore) writeFileSync(logFile, '')
      startedBefore = true
      const logStart = statSync(logFile).size
      const log = () => readFileSync(logFile).subarray(logStart).toString()
      const held = await holdProcess(service.command, service.args, { logFile, cwd: folder })
      running = held
      expected = false
      let isReady = false
      void held.ended.then((how) => {
        running = undefined
        if (isReady && !expected) fail(complaint(`ended by itself with ${how}`, log()))
      })
      try {
        isReady = await untilReady(
          () => service.ready(log()),
          () => running !== held,
          LOOK_AGAIN_MS,
        )
        if (isReady) return
        throw complaint(running === held ? 'did not get ready in time' : `ended with ${await held.ended}`, log())
      } catch (error) {
        await held.stop()
        throw error
      }
    },
    async kill(signal) {
      expected ||= endsProcesses(signal)
      await running?.kill(signal)
    },
    async stop() {
      expected = true
      await running?.stop()
    },
  }
}
