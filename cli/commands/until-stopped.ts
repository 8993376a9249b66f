/** Waits for SIGINT or SIGTERM, or for a failure; a second signal ends the process at once. */
export async function untilStopped(failed: Promise<never>): Promise<void> {
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
    await Promise.race([signalled, failed])
  } finally {
    process.removeListener('SIGINT', stop)
    process.removeListener('SIGTERM', stop)
  }
}
