/** Exit code, as a shell says of what Ctrl-C ended. */
export const INTERRUPTED = 130

/**
 * Runs `work` until it is done, or until SIGINT, SIGTERM or a failure ends it sooner: `stopping` is aborted then, and the
 * caller closes what it opened. A second signal ends the process at once, and one that has not ended half a minute after
 * the first says what it still holds and ends.
 */
export async function untilStopped(
  failed: Promise<never>,
  work: (stopping: AbortSignal) => Promise<void> = forever,
): Promise<void> {
  const stopping = new AbortController()
  let stop: (signal: NodeJS.Signals) => void = () => {}
  const signalled = new Promise<void>((resolve) => {
    stop = () => {
      process.once('SIGINT', () => process.exit(INTERRUPTED))
      process.once('SIGTERM', () => process.exit(143))
      setTimeout(giveUp, ENDS_WITHIN_MS).unref()
      resolve()
    }
    process.once('SIGINT', stop)
    process.once('SIGTERM', stop)
  })
  try {
    const working = work(stopping.signal)
    working.catch(() => {}) // what it says after it was stopped is of no interest
    await Promise.race([signalled, failed, working])
  } finally {
    stopping.abort()
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
  }
}

/**
 * For a command that has closed all that it opened: the process ends. It does so by itself unless something was left
 * open, which is said then.
 */
export function endClosed(): void {
  setTimeout(() => {
    process.stderr.write(`Closed, but something is open still: ended as it is (it holds ${held()}).\n`)
    process.exit()
  }, LEFT_OPEN_MS).unref()
}

const ENDS_WITHIN_MS = 30_000
const LEFT_OPEN_MS = 2_000

function giveUp(): void {
  process.stderr.write(
    `Not closed ${ENDS_WITHIN_MS / 1_000} s after the signal: ended as it is (it holds ${held()}).\n`,
  )
  process.exit(1)
}

const held = () => [...new Set(process.getActiveResourcesInfo())].join(', ')

const forever = () => new Promise<void>(() => {})
