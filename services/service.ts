/** A server that runs, whichever rung it stands on. */
export interface RunningService {
  /** "kafka", "registry", "redis". */
  readonly name: string
  readonly host: string
  readonly port: number
  /** Of the server itself while it runs; undefined where the system does not say (given, or inside a virtual machine). */
  readonly pid: number | undefined
  /** Resolves once a server that is killed has ended (SIGKILL, SIGTERM); other signals are only sent. */
  kill(signal: NodeJS.Signals): Promise<void>
  /** Orderly. */
  stop(): Promise<void>
  /** Again, on the same port and data, until it answers. Nothing happens if it runs. @throws SetupError */
  start(): Promise<void>
}

/** One that this process started. */
export interface OwnService extends RunningService {
  /** Rejects with a SetupError when the server ends though nobody here ended it. */
  readonly failed: Promise<never>
  /** What it leaves behind when it is stopped for good. */
  remove?(): Promise<void>
}

/** Time that a start may take on a very busy machine. */
const START_TIMEOUT_MS = 180_000

/** Asks every `everyMs` until `ready` says yes. @returns false when the time is over or `ended` says so. */
export async function untilReady(
  ready: () => Promise<boolean>,
  ended: () => boolean,
  everyMs: number,
): Promise<boolean> {
  const deadline = performance.now() + START_TIMEOUT_MS
  while (!ended() && performance.now() < deadline) {
    if (await ready()) return true
    await new Promise((resolve) => setTimeout(resolve, everyMs))
  }
  return false
}
