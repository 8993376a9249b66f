/**
 * Runs `work` until it is done, or until SIGINT, SIGTERM or a failure ends it sooner; the caller then closes what it
 * opened. A second signal ends the process at once.
 */
export async function untilStopped(failed: Promise<never>, work: () => Promise<void> = forever): Promise<void> {
  let stop: (signal: NodeJS.Signals) => void = () => {}
  const signalled = new Promise<void>((resolve) => {
    stop = () => {
      process.once('SIGINT', () => process.exit(130))
      process.once('SIGTERM', () => process.exit(143))
      resolve()
    }
    process.once('SIGINT', stop)
    process.once('SIGTERM', stop)
  })
  try {
    await Promise.race([signalled, failed, work()])
  } finally {
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
  }
}

const forever = () => new Promise<void>(() => {})
