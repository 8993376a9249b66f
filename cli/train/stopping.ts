/** Ctrl-C and SIGTERM of a trainer: it writes a checkpoint and ends; a second signal ends it at once. */
import { INTERRUPTED } from '../commands/until-stopped.ts'

export class Interrupted extends Error {}

export function untilInterrupted(): AbortSignal {
  const controller = new AbortController()
  const stop = () => {
    if (controller.signal.aborted) process.exit(INTERRUPTED)
    controller.abort(new Interrupted())
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  return controller.signal
}
