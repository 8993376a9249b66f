/**
 * A process that performs runs for another (run-pool.ts): it is given the data once, then one run after the other, and
 * answers with epochs and results. It ends when its parent does; while it fits the linear baseline, which is one long
 * computation, after that.
 */
import { CuestreamError } from '../../ports/errors.ts'
import type { EpochReport } from '../train.ts'
import { perform, type Run, type RunData, type RunResult } from './runs.ts'

export type ToRunProcess =
  | { readonly kind: 'data'; readonly data: RunData; readonly threads: number }
  | { readonly kind: 'run'; readonly run: Run }

export type FromRunProcess =
  | { readonly kind: 'epoch'; readonly report: EpochReport }
  | { readonly kind: 'done'; readonly result: RunResult }
  | { readonly kind: 'failed'; readonly code: string; readonly message: string }

let given: { data: RunData; threads: number } | undefined

process.on('disconnect', () => process.exit())
process.on('message', (message: ToRunProcess) => {
  if (message.kind === 'data') given = message
  else void answer(message.run)
})

async function answer(run: Run): Promise<void> {
  try {
    const { data, threads } = given!
    const onEpoch = (report: EpochReport) => tell({ kind: 'epoch', report })
    tell({ kind: 'done', result: await perform(run, data, { threads, onEpoch }) })
  } catch (error) {
    if (!(error instanceof CuestreamError)) throw error
    tell({ kind: 'failed', code: error.code, message: error.message })
  }
}

function tell(message: FromRunProcess): void {
  process.send!(message)
}
